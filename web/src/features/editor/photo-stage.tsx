import { Button, Text, Title } from "@mantine/core";
import { IconCamera, IconPhotoUp, IconX } from "@tabler/icons-react";
import { nameOf, setSource, type Source, useDraft } from "./draft";
import classes from "./editor.module.css";
import { FileButton } from "./file-button";
import { Photo } from "./photo";
import { EXAMPLES, fetchFile } from "./photos";

type Props = { hovers: boolean; problem: string | null; take: (file: File | null) => void };

/** The photo to edit, large; or the ways to bring one. */
export function PhotoStage({ hovers, problem, take }: Props) {
  const { source } = useDraft();
  return (
    <div className={classes.stage} data-hovers={hovers || undefined} data-filled={source ? true : undefined}>
      {source ? <Chosen source={source} /> : <Invitation take={take} />}
      {problem && (
        <Text role="alert" className={classes.problem}>
          {problem}
        </Text>
      )}
      {hovers && <div className={classes.drop}>Drop it to edit it</div>}
    </div>
  );
}

function Chosen({ source }: { source: Source }) {
  return (
    <>
      <Photo url={source.url} name={nameOf(source)} className={classes.photo} />
      <Button
        className={classes.another}
        variant="default"
        size="xs"
        leftSection={<IconX size={14} />}
        onClick={() => setSource(null)}
      >
        Another photo
      </Button>
    </>
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
      <Text c="dimmed" size="lg" maw="28rem">
        Bring a photo, tell in a sentence what to change, and see the edit appear step by step.
      </Text>
      <div className={classes.ways}>
        <FileButton take={take} icon={<IconPhotoUp size={18} />} label="Choose a photo" />
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
        {EXAMPLES.map(({ name, url, small, by, licence }) => (
          <li key={name}>
            <button type="button" onClick={async () => take(await fetchFile(url, `${name}.jpg`))} title={`Photo by ${by}, ${licence}`}>
              <img src={small} alt={`${name}, a photo by ${by}`} width={72} height={72} />
            </button>
          </li>
        ))}
      </ul>
      <Text size="xs" c="dimmed">
        Photos by {EXAMPLES.map(({ by, licence }) => `${by} (${licence})`).join(", ")}
      </Text>
    </div>
  );
}
