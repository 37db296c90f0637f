import { Button } from "@mantine/core";
import { useState } from "react";
import { nameOf, setSources, type Source } from "@/entities/draft/draft";
import type { Box, Size } from "@/entities/draft/marks";
import { Photo } from "@/entities/draft/photo";
import classes from "./editor.module.css";
import { cropped } from "./picture";
import { dragBox, Rectangle } from "./rectangle";

const MIDDLE: Box = [0.1, 0.1, 0.9, 0.9];

/** What of the photo is kept, by a rectangle on it. */
export function Crop({ source, size, onDone }: { source: Source; size: Size; onDone: () => void }) {
  const [box, setBox] = useState<Box>(MIDDLE);
  const [left, top, right, bottom] = box;
  const apply = async () => {
    setSources([await cropped(source, box)]);
    onDone();
  };
  return (
    <div className={classes.marked} style={{ "--ratio": size.width / size.height } as React.CSSProperties}>
      <Photo url={source.url} name={nameOf(source)} className={classes.photo} />
      <div className={classes.marking} data-tool="crop" onPointerDown={(event) => event.target === event.currentTarget && dragBox(event, setBox)}>
        <Rectangle box={box} label="Kept" onChange={setBox} />
      </div>
      <div className={classes.decide}>
        <Button size="compact-sm" onClick={apply}>
          Crop to {Math.round((right - left) * size.width)} × {Math.round((bottom - top) * size.height)}
        </Button>
        <Button size="compact-sm" variant="default" onClick={onDone}>
          Keep all of it
        </Button>
      </div>
    </div>
  );
}
