import { Button, Group, SegmentedControl, Text } from "@mantine/core";
import { domAnimation, LazyMotion, MotionConfig } from "motion/react";
import * as m from "motion/react-m";
import { useState } from "react";
import { ReactCompareSlider, ReactCompareSliderImage } from "react-compare-slider";
import { aspect, inputUrl, isSquared, type Job, outputUrl } from "../jobs/job";
import { Frame } from "./frame";
import { Receipt } from "./receipt";
import { Scrubber } from "./scrubber";
import classes from "./visualizer.module.css";

/** The print clears as it does in the tray. */
const DEVELOPS = {
  initial: { opacity: 0.5, filter: "blur(10px)" },
  animate: { opacity: 1, filter: "blur(0px)" },
  transition: { duration: 0.7, ease: "easeOut" as const },
};

type View = "slider" | "beside" | "result" | "steps";

/** A finished edit: beside its photo, over it, alone, or on its way. */
export function Print({ job, onMove }: { job: Job; onMove: (direction: "less" | "more", job: Job) => void }) {
  const [view, setView] = useState<View>("slider");
  const views = [
    { value: "slider", label: "Before / after" },
    { value: "beside", label: "Side by side" },
    { value: "result", label: "Result" },
    ...(job.frames ? [{ value: "steps", label: "Steps" }] : []),
  ];
  return (
    <>
      <LazyMotion features={domAnimation} strict>
        <MotionConfig reducedMotion="user">
          <m.div {...DEVELOPS}>
            <View job={job} view={view} />
          </m.div>
        </MotionConfig>
      </LazyMotion>
      <SegmentedControl
        data={views}
        value={view}
        onChange={(value) => setView(value as View)}
        aria-label="How to look at it"
        className={classes.views}
      />
      <Group gap="xs" className={classes.help}>
        <Text size="sm" c="dimmed">
          Not what you meant?
        </Text>
        <Button variant="default" size="compact-sm" onClick={() => onMove("less", job)}>
          It changed too much
        </Button>
        <Button variant="default" size="compact-sm" onClick={() => onMove("more", job)}>
          It changed too little
        </Button>
      </Group>
      <Receipt job={job} />
    </>
  );
}

function View({ job, view }: { job: Job; view: View }) {
  const ratio = aspect(job);
  const before = <Laid url={inputUrl(job)} alt="Before: the photo" squared={isSquared(job)} />;
  const after = <Laid url={outputUrl(job)} alt="After: the edit" />;
  if (view === "steps") return <Scrubber job={job} />;
  if (view === "result") {
    return (
      <Frame ratio={ratio}>
        {after}
      </Frame>
    );
  }
  if (view === "beside") {
    return (
      <div className={classes.pair} data-count={2}>
        <Frame ratio={ratio}>
          {before}
        </Frame>
        <Frame ratio={ratio}>
          {after}
        </Frame>
      </div>
    );
  }
  return (
    <Frame ratio={ratio}>
      <ReactCompareSlider className={classes.slider} itemOne={before} itemTwo={after} keyboardIncrement="5%" />
    </Frame>
  );
}

/** In the shape of the edit: where that is a square, the photo is stretched to it, so that the two match. */
function Laid({ url, alt, squared = false }: { url: string; alt: string; squared?: boolean }) {
  return <ReactCompareSliderImage src={url} alt={alt} style={{ objectFit: squared ? "fill" : "cover" }} />;
}
