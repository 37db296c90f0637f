import { ActionIcon, Button, Text } from "@mantine/core";
import { IconPhotoPlus, IconX } from "@tabler/icons-react";
import { useState } from "react";
import { nameOf, setSources, type Source } from "@/entities/draft/draft";
import { FileButton } from "@/entities/draft/file-button";
import type { Size } from "@/entities/draft/marks";
import { Photo } from "@/entities/draft/photo";
import { Crop } from "./crop";
import classes from "./editor.module.css";
import { Marking } from "./marking";
import { type Tool, Tools } from "./tools";

type Props = { take: (files: File[]) => void; outcome: (size: Size) => string };

/** What is to be edited: one photo with its tools, or several. */
export default function Chosen({ sources, ...props }: { sources: Source[] } & Props) {
  const [first, ...others] = sources;
  if (!first) return null;
  return others.length ? <Several sources={sources} take={props.take} /> : <One key={first.url} source={first} {...props} />;
}

/** One photo, on which can be drawn where to edit it, and which can be cropped and turned. */
function One({ source, outcome, take }: { source: Source } & Props) {
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
