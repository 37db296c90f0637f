import { type Box, boxBetween, nudged } from "@/entities/draft/marks";
import classes from "./editor.module.css";

const STEP = 0.02;

/** Where a pointer is, in shares of an element's width and height. */
export function placeIn(element: Element, event: { clientX: number; clientY: number }): [number, number] {
  const { left, top, width, height } = element.getBoundingClientRect();
  return [(event.clientX - left) / width, (event.clientY - top) / height];
}

type Props = { box: Box; label: string; onChange: (box: Box) => void };

/** A rectangle on the photo: the arrow keys move it, with Shift they pull its lower right corner. */
export function Rectangle({ box, label, onChange }: Props) {
  const [left, top, right, bottom] = box;
  const onKeyDown = (event: React.KeyboardEvent) => {
    const [dx, dy] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [];
    if (dx === undefined || dy === undefined) return;
    event.preventDefault();
    onChange(nudged(box, dx, dy, event.shiftKey));
  };
  const move = (event: React.PointerEvent) => {
    event.stopPropagation();
    const area = event.currentTarget.parentElement as HTMLElement;
    const [x0, y0] = placeIn(area, event);
    drag(event, ([x, y]) => onChange(nudged(box, x - x0, y - y0, false)), area);
  };
  return (
    <button
      type="button"
      className={classes.rectangle}
      aria-label={`${label}: ${percent(left)} to ${percent(right)} across, ${percent(top)} to ${percent(bottom)} down`}
      title="Arrow keys move it, with Shift they resize it"
      style={{ left: percent(left), top: percent(top), width: percent(right - left), height: percent(bottom - top) }}
      onKeyDown={onKeyDown}
      onPointerDown={move}
    />
  );
}

const percent = (share: number) => `${Math.round(share * 1000) / 10}%`;

/** Draws a rectangle while the pointer is down on an element. */
export function dragBox(event: React.PointerEvent, onChange: (box: Box) => void): void {
  const from = placeIn(event.currentTarget, event);
  drag(event, (at) => onChange(boxBetween(from, at)));
}

/** Follows the pointer until it is lifted; tells where it is in shares of the area. */
export function drag(event: React.PointerEvent, onMove: (at: [number, number]) => void, area: Element = event.currentTarget): void {
  const held = event.currentTarget as HTMLElement;
  held.setPointerCapture(event.pointerId);
  const over = new AbortController();
  const move = (moved: PointerEvent) => {
    const between = moved.getCoalescedEvents(); // those that came since the last frame
    for (const one of between.length ? between : [moved]) onMove(placeIn(area, one));
  };
  held.addEventListener("pointermove", move, over);
  for (const end of ["pointerup", "pointercancel"]) held.addEventListener(end, () => over.abort(), over);
}
