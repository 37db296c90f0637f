import { useEffect, useRef } from "react";
import { useDraft } from "@/entities/draft/draft";
import { draw, type Mark, type Size } from "@/entities/draft/marks";
import classes from "./editor.module.css";
import { drag, dragBox, placeIn, Rectangle } from "./rectangle";
import type { Tool } from "./tools";

const BRUSH = 0.06; // of the longer side
const SHARPEST = 1200; // pixels of the drawing's longer side

/** What is marked on the photo, over it, and more marks as they are drawn with a tool. */
export function Marking({ size, tool }: { size: Size; tool: Tool }) {
  const marks = useDraft((draft) => draft.marks);
  const canvas = useRef<HTMLCanvasElement>(null);
  const scale = Math.min(1, SHARPEST / Math.max(size.width, size.height));
  useEffect(() => {
    const pen = canvas.current?.getContext("2d");
    if (!pen) return;
    pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height);
    draw(pen, marks, "#e8583a");
  }, [marks]);

  const onPointerDown = (event: React.PointerEvent) => {
    if (!tool || tool === "crop" || event.button !== 0) return;
    if (tool === "box") return dragBox(event, latest((box) => ({ box })));
    const points = [placeIn(event.currentTarget, event)];
    const put = latest((more: [number, number][]) => ({ stroke: { points: more, width: BRUSH, erases: tool === "eraser" } }));
    put([...points]);
    drag(event, (at) => {
      points.push(at);
      put([...points]);
    });
  };
  return (
    <div className={classes.marking} data-tool={tool ?? undefined} onPointerDown={onPointerDown}>
      <canvas ref={canvas} width={Math.round(size.width * scale)} height={Math.round(size.height * scale)} role="img" aria-label={told(marks)} />
      {marks.map((mark, index) =>
        "box" in mark ? <Rectangle key={index} box={mark.box} label="Edited here" onChange={(box) => replace(index, { box })} /> : null,
      )}
      {tool === "box" && marks.length === 0 && (
        <button type="button" className={classes.byKeys} onPointerDown={(event) => event.stopPropagation()} onClick={() => useDraft.setState({ marks: [{ box: [0.25, 0.25, 0.75, 0.75] }] })}>
          Draw a box, or begin with one in the middle
        </button>
      )}
    </div>
  );
}

const told = (marks: Mark[]) => (marks.length ? "Marked: only there the photo is edited" : "Nothing is marked: the whole photo is edited");

const replace = (index: number, mark: Mark) => useDraft.setState(({ marks }) => ({ marks: marks.map((one, at) => (at === index ? mark : one)) }));

/** Puts a mark after those that are there, and from then on takes its place. */
function latest<T>(make: (value: T) => Mark): (value: T) => void {
  const { marks } = useDraft.getState();
  return (value) => useDraft.setState({ marks: [...marks, make(value)] });
}
