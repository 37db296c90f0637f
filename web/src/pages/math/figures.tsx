import { Slider } from "@mantine/core";
import { type ReactNode, useId } from "react";
import classes from "./figures.module.css";

/** A picture that answers to what one moves. */
export function Figure({ caption, controls, children }: { caption: ReactNode; controls: ReactNode; children: ReactNode }) {
  return (
    <figure className={classes.figure}>
      <div className={classes.drawing}>{children}</div>
      <div className={classes.controls}>{controls}</div>
      <figcaption className={classes.caption}>{caption}</figcaption>
    </figure>
  );
}

type Control = { label: string; shown: string; value: number; min: number; max: number; step: number; onChange: (value: number) => void };

export function Control({ label, shown, ...slider }: Control) {
  const id = useId();
  return (
    <div className={classes.control}>
      <span id={id}>{label}</span>
      <output className={classes.value}>{shown}</output>
      <Slider {...slider} size={3} thumbSize={16} label={null} thumbProps={{ "aria-labelledby": id, "aria-valuetext": shown }} />
    </div>
  );
}

/** Something small set beside its name, under a figure. */
export function Readings({ of }: { of: [ReactNode, string][] }) {
  return (
    <dl className={classes.readings}>
      {of.map(([name, value], i) => (
        <div key={i}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
