import { ActionIcon, Button, Text, Title, VisuallyHidden } from "@mantine/core";
import { IconCamera, IconPhotoPlus, IconPhotoUp, IconX } from "@tabler/icons-react";
import { useState } from "react";
import { nameOf, setSources, type Source, useDraft } from "@/entities/draft/draft";
import { FileButton } from "@/entities/draft/file-button";
import { Photo } from "@/entities/draft/photo";
import { EXAMPLES, fetchFile } from "@/entities/draft/photos";
import type { Size } from "@/entities/draft/marks";
import { Crop } from "./crop";
import classes from "./editor.module.css";
import { Marking } from "./marking";
import { Tools, type Tool } from "./tools";

type Props = { problem: string | null; take: (files: File[]) => void; outcome: (size: Size) => string };

/** The photo to edit, large; or the ways to bring one. `outcome` tells which size its edit will have. */
export function PhotoStage({ problem, take, outcome }: Props) {
  const sources = useDraft((draft) => draft.sources);
  const [first, ...others] = sources;
  return (
    <div className={classes.stage} data-filled={first ? true : undefined}>
      {first ? <VisuallyHidden component="h1">{others.length ? "The photos to edit" : "The photo to edit"}</VisuallyHidden> : <Invitation take={take} />}
      {first && !others.length && <One key={first.url} source={first} outcome={outcome} take={take} />}
      {others.length > 0 && <Several sources={sources} take={take} />}
      {problem && (
        <Text role="alert" className={classes.problem}>
          {problem}
        </Text>
      )}
    </div>
  );
}

/** One photo, on which can be drawn where to edit it, and which can be cropped and turned. */
function One({ source, outcome, take }: { source: Source; outcome: Props["outcome"]; take: Props["take"] }) {
  const [size, setSize] = useState<Size | null>(null);
  const [tool, setTool] = useState<Tool>(null);
  return (
    <>
      <div className={classes.bar}>
        {size ? <Tools source={source} tool={tool} onChoose={setTool} /> : <span />}
        <More take={take} label="Another photo" />
      </div>
      <div className={classes.canvas}>
        {tool === "crop" && size ? (
          <Crop source={source} size={size} onDone={() => setTool(null)} />
        ) : (
          <div className={classes.marked} style={size ? ({ "--ratio": size.width / size.height } as React.CSSProperties) : undefined}>
            <Photo url={source.url} name={nameOf(source)} className={classes.photo} onSize={setSize} />
            {size && <Marking size={size} tool={tool} />}
          </div>
        )}
      </div>
      <Text size="xs" c="dimmed" className={classes.size}>
        {size && outcome(size)}
      </Text>
    </>
  );
}

function More({ take, label }: { take: Props["take"]; label: string }) {
  return (
    <div className={classes.others}>
      <FileButton take={take} label="Add a photo" icon={<IconPhotoPlus size={15} />} size="compact-sm" variant="default" several />
      <Button size="compact-sm" variant="default" leftSection={<IconX size={14} />} onClick={() => setSources([])}>
        {label}
      </Button>
    </div>
  );
}

/** A batch: all are edited in the same way. */
function Several({ sources, take }: { sources: Source[]; take: Props["take"] }) {
  const without = (gone: Source) => setSources(sources.filter((one) => one !== gone));
  return (
    <>
      <div className={classes.bar}>
        <Text size="sm">{sources.length} photos, all edited alike</Text>
        <More take={take} label="Others" />
      </div>
      <ul className={classes.batch} aria-label="Photos">
        {sources.map((source) => (
          <li key={source.url}>
            <Photo url={source.url} name={nameOf(source)} small />
            <ActionIcon variant="default" size="sm" onClick={() => without(source)} aria-label={`Leave out ${nameOf(source)}`}>
              <IconX size={13} />
            </ActionIcon>
          </li>
        ))}
      </ul>
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
