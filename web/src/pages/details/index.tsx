import { Anchor, Kbd, Switch, Text } from "@mantine/core";
import { Fragment } from "react";
import { Link } from "react-router";
import { Chapter, Reading } from "@/features/reading/reading";
import type { ParameterView } from "@/shared/api/client";
import { defaultModel, parameter, useModels } from "@/shared/api/models";
import { usePreferences } from "@/shared/preferences";
import classes from "./details.module.css";
import { type Explained, PARAMETERS } from "./parameters";

const PLACES = [
  { id: "steps", title: "In five steps" },
  { id: "controls", title: "The controls" },
  { id: "amiss", title: "When it is not what you meant" },
  { id: "photo", title: "What becomes of a photo" },
  { id: "keys", title: "Keys" },
] as const;
const [STEPS, CONTROLS, AMISS, PHOTO, KEYS] = PLACES;

export default function DetailsPage() {
  return (
    <Reading title="How to use it" lead="Give it a photo, say what to change, and watch the edit come up step by step." places={[...PLACES]}>
      <Chapter {...STEPS}>
        <ol className={classes.steps}>
          <li>Drop a photo on the editor, paste one, take one with the camera, or begin with an example.</li>
          <li>Write what to change. The instructions below the field are ones that the loaded checkpoint follows well.</li>
          <li>Leave what is under Advanced alone the first time: each model starts from what suits its checkpoint.</li>
          <li>Develop. The picture comes up while it is made; stop it at any step. Send more meanwhile, they queue.</li>
          <li>Compare before and after, choose how strong it is, then download it, go on from the result, or try four variations.</li>
        </ol>
        <Text className={classes.text}>
          Edits live on the server, not in the tab: close it, lose the connection, come back, and they are where they got
          to. To see several models or scales side by side, <Anchor component={Link} to="/compare" underline="always">compare</Anchor> them on one photo.
        </Text>
      </Chapter>
      <Chapter {...CONTROLS}>
        <Text className={classes.text}>
          Only those that the chosen <Anchor component={Link} to="/models" underline="always">model</Anchor> has are shown.
          What each does to the equations is in <Anchor component={Link} to="/math" underline="always">the mathematics</Anchor>.
        </Text>
        <Controls />
      </Chapter>
      <Chapter {...AMISS}>
        <dl className={classes.pairs}>
          {REMEDIES.map(([problem, remedy]) => (
            <div key={problem}>
              <dt>{problem}</dt>
              <dd>{remedy}</dd>
            </div>
          ))}
        </dl>
      </Chapter>
      <Chapter {...PHOTO}>
        <Text className={classes.text}>
          It is turned upright, converted to sRGB, and stored as fresh pixels: place, time and camera that a file may carry
          are not kept. Photo, result and settings stay together <Kept /> after the
          edit’s end, and are gone when you delete it. What a photo’s own{" "}
          <Anchor component={Link} to="/credentials" underline="always">content credentials</Anchor> say was done to it goes on
          into its edit, without place and camera. Every result comes with a receipt: model, parameters, seed and
          checkpoint, which is all that it takes to make the same picture again.
        </Text>
      </Chapter>
      <Chapter {...KEYS}>
        <dl className={classes.pairs}>
          {SHORTCUTS.map(([keys, does]) => (
            <div key={does}>
              <dt>
                {keys.map((key, i) => (
                  <Fragment key={key}>
                    {i > 0 && " "}
                    <Kbd size="md">{key}</Kbd>
                  </Fragment>
                ))}
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
        <LetterKeys />
      </Chapter>
    </Reading>
  );
}

/** How long this service keeps edits. */
function Kept() {
  const seconds = useModels()?.limits.retention_seconds;
  return seconds === undefined ? "for some time" : `for ${spoken(seconds)}`;
}

function spoken(seconds: number): string {
  const [count, unit] = seconds % 86_400 === 0 ? [seconds / 86_400, "day"] : [Math.round(seconds / 360) / 10, "hour"];
  return count === 1 ? `${unit === "day" ? "a" : "an"} ${unit}` : `${count} ${unit}s`;
}

/** Keys of one character stand in the way of people whose speech is typed for them (WCAG 2.1.4). */
function LetterKeys() {
  const { letterKeys } = usePreferences();
  return (
    <Switch
      mt="lg"
      label="Keys of one character (/, J, K) work"
      checked={letterKeys}
      onChange={(event) => usePreferences.setState({ letterKeys: event.currentTarget.checked })}
    />
  );
}

const REMEDIES: [string, string][] = [
  ["It changed too much", "Pull the strength slider under the result: it lays less of the edit over the photo, at once. Or mark with brush or box where to edit."],
  ["It changed too little", "Say it more plainly. Under Advanced, lower image CFG to 1, or raise text CFG."],
  ["The wrong thing changed", "Say it more plainly, and one thing at a time. Try another seed: some draws of noise suit a photo better."],
  ["It looks grainy or unfinished", "Take more steps than the model’s own, or the DPM++ 2M sampler. Bring image CFG below 3."],
  ["Colors burn out", "Lower text CFG."],
  ["It is the right edit, a little off", "Keep its seed, and move one control at a time."],
];

const SHORTCUTS: [string[], string][] = [
  [["/"], "to the instruction"],
  [["Ctrl", "Enter"], "develop; on a Mac ⌘ Enter"],
  [["Esc"], "stop the edit that is shown"],
  [["J", "K"], "the next edit of the list, the one before"],
  [["←", "→"], "move the slider between before and after, or through the steps"],
];

function Controls() {
  const models = useModels();
  const known = new Map((models?.data ?? []).flatMap((model) => model.parameters.map((one) => [one.name, one])));
  const usual = models && defaultModel(models);
  return (
    <dl className={classes.controls}>
      {PARAMETERS.map((explained) => (
        <Control
          key={explained.name}
          explained={explained}
          parameter={(usual && parameter(usual, explained.name)) ?? known.get(explained.name)}
        />
      ))}
    </dl>
  );
}

function Control({ explained, parameter }: { explained: Explained; parameter: ParameterView | undefined }) {
  const { title, what, less, more } = explained;
  return (
    <div>
      <dt>
        {title} <code>{explained.name}</code>
      </dt>
      <dd>
        <p>{what}</p>
        {less && more && (
          <div className={classes.ends}>
            <span>{less}</span>
            <span aria-hidden className={classes.way} />
            <span>{more}</span>
          </div>
        )}
        <p className={classes.range}>{parameter && rangeOf(parameter)}</p>
      </dd>
    </div>
  );
}

/** What a parameter may be, and what it is when it is left alone. */
function rangeOf({ kind, choices, minimum, maximum, default: usual }: ParameterView): string {
  const range = choices?.join(", ") ?? `${minimum} to ${maximum?.toLocaleString("en")}${kind === "text" ? " characters" : ""}`;
  return usual === null || usual === "" ? range : `${range}; ${usual} unless you move it`;
}
