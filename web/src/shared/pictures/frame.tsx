import type { CSSProperties, ReactNode } from "react";
import classes from "./frame.module.css";

/** A box in a picture's shape (width / height), there before the picture is, so that nothing moves when it comes. */
export function Frame({ ratio, over = false, children }: { ratio: number; over?: boolean; children?: ReactNode }) {
  return (
    <div className={classes.frame} style={{ "--ratio": ratio } as CSSProperties} data-over={over || undefined}>
      {children}
    </div>
  );
}
