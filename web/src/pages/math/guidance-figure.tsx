import { useState } from "react";
import { Control, Figure, Readings } from "./figures";
import classes from "./figures.module.css";

type Point = { x: number; y: number };

/** Three predictions as they might lie: u without either condition, i with the picture, c with the text too. */
const U = { x: 90, y: 236 };
const I = { x: 196, y: 182 };
const C = { x: 240, y: 122 };

const plus = (from: Point, by: Point, times: number) => ({ x: from.x + times * by.x, y: from.y + times * by.y });
const minus = (to: Point, from: Point) => ({ x: to.x - from.x, y: to.y - from.y });
const signed = (value: number) => value.toFixed(1).replace("-", "−");

/** Equation (4) as two arrows that one can stretch. */
export function GuidanceFigure() {
  const [text, setText] = useState(2.5);
  const [picture, setPicture] = useState(1.2);
  const corner = plus(U, minus(I, U), picture);
  const guided = plus(corner, minus(C, I), text);
  const weights = [text, picture - text, 1 - picture].map((weight) => Math.round(weight * 10) / 10);
  const rows = weights.filter(Boolean).length;
  return (
    <Figure
      controls={
        <>
          <Control label="Text CFG" shown={text.toFixed(1)} value={text} min={1} max={5} step={0.1} onChange={setText} />
          <Control label="Image CFG" shown={picture.toFixed(1)} value={picture} min={1} max={3} step={0.1} onChange={setPicture} />
        </>
      }
      caption="Image CFG stretches the way from nothing to the picture, text CFG the way from the picture to the instruction. At 1 and 1 the arrows meet in c, the network's own answer."
    >
      <svg viewBox="0 0 720 290" role="img" aria-label={`Guidance with text CFG ${text} and image CFG ${picture}`}>
        <defs>
          {["text", "picture", "result"].map((name) => (
            <marker key={name} id={`tip-${name}`} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" orient="auto">
              <path d="M0 0 8 4 0 8" fill="none" strokeWidth="1.6" className={classes[name]} />
            </marker>
          ))}
        </defs>
        <Arrow from={U} to={corner} kind="picture" />
        <Arrow from={corner} to={guided} kind="text" />
        <Arrow from={U} to={guided} kind="result" dashed />
        {([["u", U, 0, 24], ["i", I, -4, -14], ["c", C, -16, -4]] as const).map(([name, at, dx, dy]) => (
          <g key={name}>
            <circle cx={at.x} cy={at.y} r="4" className={classes.strong} />
            <text x={at.x + dx} y={at.y + dy} className={classes.strong} textAnchor="middle">
              {name}
            </text>
          </g>
        ))}
        <text x={guided.x + 12} y={guided.y + 4} className={classes.strong}>
          guided
        </text>
      </svg>
      <Readings
        of={[
          ["c", signed(weights[0] as number)],
          ["i", signed(weights[1] as number)],
          ["u", signed(weights[2] as number)],
          ["rows to compute", String(rows)],
        ]}
      />
    </Figure>
  );
}

function Arrow({ from, to, kind, dashed }: { from: Point; to: Point; kind: string; dashed?: boolean }) {
  return (
    <line
      x1={from.x}
      y1={from.y}
      x2={to.x}
      y2={to.y}
      className={`${classes.arrow} ${classes[kind]}`}
      strokeDasharray={dashed ? "3 5" : undefined}
      markerEnd={`url(#tip-${kind})`}
    />
  );
}
