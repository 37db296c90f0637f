import { Text, Title, VisuallyHidden } from "@mantine/core";
import { IconCamera, IconPhotoUp } from "@tabler/icons-react";
import { lazy, Suspense } from "react";
import { useDraft } from "@/entities/draft/draft";
import { FileButton } from "@/entities/draft/file-button";
import type { Size } from "@/entities/draft/marks";
import { EXAMPLES, fetchFile } from "@/entities/draft/photos";
import classes from "./editor.module.css";

const Chosen = lazy(() => import("./chosen"));

type Props = { problem: string | null; take: (files: File[]) => void; outcome: (size: Size) => string };

/** The photo to edit, large; or the ways to bring one. `outcome` tells which size its edit will have. */
export function PhotoStage({ problem, take, outcome }: Props) {
  const sources = useDraft((draft) => draft.sources);
  const [first, ...others] = sources;
  return (
    <div className={classes.stage} data-filled={first ? true : undefined}>
      {first ? <VisuallyHidden component="h1">{others.length ? "The photos to edit" : "The photo to edit"}</VisuallyHidden> : <Invitation take={take} />}
      {first && (
        <Suspense>
          <Chosen sources={sources} outcome={outcome} take={take} />
        </Suspense>
      )}
      {problem && (
        <Text role="alert" className={classes.problem}>
          {problem}
        </Text>
      )}
    </div>
  );
}

function Invitation({ take }: { take: Props["take"] }) {
  return (
    <div className={classes.invitation}>
      <Title order={1}>
        Say it, and watch
        <br />
        it develop.
      </Title>
      <Text c="dimmed" size="lg" maw="28rem" className={classes.lead}>
        Bring a photo, tell in a sentence what to change, and see the edit appear step by step.
      </Text>
      <div className={classes.ways}>
        <FileButton take={take} icon={<IconPhotoUp size={18} />} label="Choose a photo" several />
        <FileButton take={take} icon={<IconCamera size={18} />} label="Take a photo" variant="default" className={classes.camera} camera />
      </div>
      <Text c="dimmed" size="sm" className={classes.alsoDrop}>
        or drop or paste one anywhere here
      </Text>
      <Examples take={take} />
    </div>
  );
}

function Examples({ take }: { take: Props["take"] }) {
  return (
    <div className={classes.examples}>
      <Text size="sm" c="dimmed" id="examples">
        Or try one of these:
      </Text>
      <ul aria-labelledby="examples">
        {EXAMPLES.map(({ name, url, small, by, license }) => (
          <li key={name}>
            <button type="button" onClick={async () => take([await fetchFile(url, `${name}.jpg`)])} title={`Photo by ${by}, ${license}`}>
              <img src={small} alt={`${name}, a photo by ${by}`} width={72} height={72} />
            </button>
          </li>
        ))}
      </ul>
      <Text size="xs" c="dimmed">
        Photos by {EXAMPLES.map(({ by, license }) => `${by} (${license})`).join(", ")}
      </Text>
    </div>
  );
}
