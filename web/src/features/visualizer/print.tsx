import { SegmentedControl, Slider, Text } from "@mantine/core";
import { domAnimation, LazyMotion, MotionConfig } from "motion/react";
import * as m from "motion/react-m";
import { useState } from "react";
import { ReactCompareSlider, ReactCompareSliderImage } from "react-compare-slider";
import { aspect, inputUrl, isSquared, type Job, outputUrl } from "@/entities/job/job";
import { Frame } from "@/shared/pictures/frame";
import { ResultActions, type StageActions } from "./result-actions";
import { Scrubber } from "./scrubber";
import classes from "./visualizer.module.css";

/** The print clears as it does in the tray. */
const DEVELOPS = {
  initial: { opacity: 0.5, filter: "blur(10px)" },
  animate: { opacity: 1, filter: "blur(0px)" },
  transition: { duration: 0.7, ease: "easeOut" as const },
};

type View = "slider" | "beside" | "result" | "steps";

/** A finished edit: beside its photo, over it, alone, or on its way; as strong as the slider says. */
export function Print({ job, ...actions }: { job: Job } & StageActions) {
  const [view, setView] = useState<View>("slider");
  const made = Number(job.params.strength ?? 1);
  const [strength, setStrength] = useState(made);
  const [place, setPlace] = useState(0);
  const share = made ? strength / made : 1;
  const views = [
    { value: "slider", label: "Before / after" },
    { value: "beside", label: "Side by side" },
    { value: "result", label: "Result" },
    ...(job.frames ? [{ value: "steps", label: "Steps" }] : []),
  ];
  return (
    <>
      <ResultActions job={job} place={place} strength={strength} {...actions} />
      {job.outputs.length > 1 && <Variations job={job} place={place} onChoose={setPlace} />}
      <LazyMotion features={domAnimation} strict>
        <MotionConfig reducedMotion="user">
          <m.div {...DEVELOPS}>
            <Look job={job} place={place} view={view} share={share} />
          </m.div>
        </MotionConfig>
      </LazyMotion>
      <div className={classes.below}>
        <SegmentedControl
          data={views}
          value={view}
          onChange={(value) => setView(value as View)}
          aria-label="How to look at it"
          className={classes.views}
        />
        {made > 0 && view !== "steps" && <Strength most={made} value={strength} onChange={setStrength} />}
      </div>
    </>
  );
}

/** How much of the edit shows over its photo. It is laid over it here, at once; saved, it is made anew without the model. */
function Strength({ most, value, onChange }: { most: number; value: number; onChange: (value: number) => void }) {
  const percent = `${Math.round(value * 100)} %`;
  return (
    <div className={classes.strength}>
      <Text size="sm" id="strength">
        Strength
      </Text>
      <Slider
        aria-labelledby="strength"
        thumbLabel="Strength of the edit"
        thumbValueText={percent}
        label={null}
        min={0}
        max={most}
        step={0.01}
        value={value}
        onChange={onChange}
        thumbSize={24}
        size={3}
      />
      <Text size="sm" className={classes.percent}>
        {percent}
      </Text>
    </div>
  );
}

/** The edits that one job made, to choose which is looked at. */
function Variations({ job, place, onChoose }: { job: Job; place: number; onChoose: (place: number) => void }) {
  return (
    <ul className={classes.variations} aria-label="Variations">
      {job.outputs.map(({ seed, path }, index) => (
        <li key={path}>
          <button type="button" aria-pressed={index === place} onClick={() => onChoose(index)}>
            <img src={outputUrl(job, index)} alt={`Variation ${index + 1}, seed ${seed}`} />
          </button>
        </li>
      ))}
    </ul>
  );
}

function Look({ job, place, view, share }: { job: Job; place: number; view: View; share: number }) {
  const ratio = aspect(job);
  const before = <Laid url={inputUrl(job)} alt="Before: the photo" squared={isSquared(job)} />;
  const after = (
    <div className={classes.over}>
      {share < 1 && <Laid url={inputUrl(job)} alt="" squared={isSquared(job)} />}
      <Laid url={outputUrl(job, place)} alt="After: the edit" opacity={share} />
    </div>
  );
  if (view === "steps") return <Scrubber job={job} />;
  if (view === "result") return <Frame ratio={ratio}>{after}</Frame>;
  if (view === "beside") {
    return (
      <div className={classes.pair} data-count={2}>
        <Frame ratio={ratio}>{before}</Frame>
        <Frame ratio={ratio}>{after}</Frame>
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
function Laid({ url, alt, squared = false, opacity = 1 }: { url: string; alt: string; squared?: boolean; opacity?: number }) {
  return <ReactCompareSliderImage src={url} alt={alt} style={{ objectFit: squared ? "fill" : "cover", opacity }} />;
}
