import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconArrowBackUp, IconBrush, IconCrop, IconEraser, IconRectangle, IconRotateClockwise, IconX } from "@tabler/icons-react";
import { setSources, type Source, useDraft } from "@/entities/draft/draft";
import type { Mark } from "@/entities/draft/marks";
import classes from "./editor.module.css";
import { undoTurn, turned } from "./picture";

export type Tool = "box" | "brush" | "eraser" | "crop" | null;

const DRAWN = [
  ["box", "Box", IconRectangle],
  ["brush", "Brush", IconBrush],
] as const;

/** Where to edit the photo, and how it lies. */
export function Tools({ source, tool, onChoose }: { source: Source; tool: Tool; onChoose: (tool: Tool) => void }) {
  const marks = useDraft((draft) => draft.marks);
  const choose = (one: Tool) => onChoose(tool === one ? null : one);
  const before = undoTurn(source);
  const turn = async () => setSources([await turned(source)]);
  return (
    <div className={classes.tools} role="toolbar" aria-label="Where to edit, and how the photo lies">
      {DRAWN.map(([name, label, Icon]) => (
        <Button key={name} size="compact-sm" variant={tool === name ? "filled" : "default"} aria-pressed={tool === name} leftSection={<Icon size={15} />} onClick={() => choose(name)}>
          {label}
        </Button>
      ))}
      {tool === "brush" || tool === "eraser" || marks.length > 0 ? (
        <Icon label="Erase marks" pressed={tool === "eraser"} onClick={() => choose("eraser")} icon={<IconEraser size={16} />} />
      ) : null}
      {marks.length > 0 && (
        <>
          <Icon label="Undo the last mark" onClick={() => change(marks.slice(0, -1))} icon={<IconArrowBackUp size={16} />} />
          <Icon label="No marks: edit everywhere" onClick={() => change([])} icon={<IconX size={16} />} />
        </>
      )}
      <span className={classes.gap} />
      <Icon label="Crop" pressed={tool === "crop"} onClick={() => choose("crop")} icon={<IconCrop size={16} />} />
      <Icon label="Turn right" onClick={turn} icon={<IconRotateClockwise size={16} />} />
      {before && <Icon label="The photo as it was" onClick={() => setSources([before])} icon={<IconArrowBackUp size={16} />} />}
    </div>
  );
}

const change = (marks: Mark[]) => useDraft.setState({ marks });

function Icon({ label, icon, pressed, onClick }: { label: string; icon: React.ReactNode; pressed?: boolean; onClick: () => void }) {
  return (
    <Tooltip label={label} withArrow>
      <ActionIcon variant={pressed ? "filled" : "default"} size="md" aria-label={label} aria-pressed={pressed} onClick={onClick}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}
