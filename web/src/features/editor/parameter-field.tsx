import { ActionIcon, NumberInput, SegmentedControl, Slider, Text, Textarea, Tooltip } from "@mantine/core";
import { IconDice5, IconRestore } from "@tabler/icons-react";
import { useId } from "react";
import type { ModelView, ParameterView } from "@/shared/api/client";
import { advice } from "@/entities/draft/advice";
import type { Value } from "@/entities/draft/draft";
import classes from "./fields.module.css";

/** A plain name for each, and the one that it has in papers and in the API's field. */
const NAMES: Record<string, [plain: string, paper?: string]> = {
  steps: ["Steps"],
  temperature: ["Freedom to repaint", "Temperature"],
  cfg_scale: ["Follow the instruction", "Text CFG"],
  image_cfg_scale: ["Hold on to the photo", "Image CFG"],
  seed: ["Seed"],
  size: ["Shape for the model", "Size"],
  resolution: ["Result"],
  strength: ["Strength"],
  sampler: ["Sampler"],
  effort: ["Effort"],
  negative_prompt: ["Stay away from", "Negative prompt"],
};
const CHOICES: Record<string, string> = {
  "512x512": "512²",
  "256x256": "256²",
  auto: "Its own shape",
  own: "Photo’s own size",
  model: "As the model made it",
  ddim: "DDIM",
  "dpm++2m": "DPM++ 2M",
  exact: "Every step whole",
  fast: "Fewer steps whole",
};

export type FieldProps = {
  model: ModelView;
  parameter: ParameterView;
  value: Value | undefined;
  touched: boolean;
  problem?: string;
  onChange: (value: Value | undefined) => void;
};

const nameOf = (parameter: ParameterView) => NAMES[parameter.name]?.[0] ?? parameter.name;
const paperOf = (parameter: ParameterView) => NAMES[parameter.name]?.[1];

/** The control of one parameter, made from what the service tells of it. */
export function ParameterField(props: FieldProps) {
  const { parameter } = props;
  if (parameter.kind === "text") return <TextField {...props} />;
  if (parameter.kind === "choice") return <ChoiceField {...props} />;
  return parameter.name === "seed" ? <SeedField {...props} /> : <NumberField {...props} />;
}

function Label({ parameter, touched, onChange, id }: Pick<FieldProps, "parameter" | "touched" | "onChange"> & { id: string }) {
  return (
    <div className={classes.label}>
      <Tooltip label={plain(parameter.summary)} multiline w={260} withArrow events={{ hover: true, focus: true, touch: true }}>
        <label id={id} htmlFor={`${id}-input`}>
          {nameOf(parameter)} {paperOf(parameter) && <small>{paperOf(parameter)}</small>}
        </label>
      </Tooltip>
      {touched && (
        <ActionIcon variant="subtle" color="gray" size="xs" onClick={() => onChange(undefined)} aria-label={`${nameOf(parameter)}: back to ${parameter.default || "nothing"}`}>
          <IconRestore size={13} />
        </ActionIcon>
      )}
    </div>
  );
}

const plain = (text: string) => text.replaceAll("`", "");

function Note({ model, parameter, value, problem, id }: Pick<FieldProps, "model" | "parameter" | "value" | "problem"> & { id: string }) {
  const text = problem ?? advice(model, parameter.name, value);
  return (
    <Text id={id} size="xs" className={classes.note} data-problem={problem ? true : undefined} role={problem ? "alert" : undefined}>
      {text}
    </Text>
  );
}

function NumberField(props: FieldProps) {
  const { parameter, value, onChange } = props;
  const id = useId();
  const [low, high] = [parameter.minimum ?? 0, parameter.maximum ?? 1];
  const step = parameter.kind === "integer" ? 1 : high - low > 2 ? 0.1 : 0.05;
  const scale = scaleOf(low, high);
  const number = Number(value ?? low);
  return (
    <div className={classes.field}>
      <Label {...props} id={id} />
      <NumberInput
        id={`${id}-input`}
        className={classes.number}
        size="xs"
        variant="unstyled"
        hideControls
        min={low}
        max={high}
        step={step}
        decimalScale={parameter.kind === "integer" ? 0 : 2}
        clampBehavior="blur"
        value={value ?? ""}
        aria-describedby={`${id}-note`}
        onChange={(next) => next !== "" && onChange(Number(next))}
      />
      <Slider
        className={classes.slider}
        size={3}
        thumbSize={24}
        classNames={{ thumb: classes.thumb }}
        label={null}
        min={scale.from(low)}
        max={scale.from(high)}
        step={scale.step ?? step}
        value={scale.from(number)}
        thumbLabel={nameOf(parameter)}
        thumbValueText={String(number)}
        onChange={(next) => onChange(round(scale.to(next), step, low, high))}
      />
      <Note {...props} id={`${id}-note`} />
    </div>
  );
}

/** Where a range spans more than two orders of magnitude, its slider moves by factors. */
function scaleOf(low: number, high: number) {
  if (low <= 0 || high / low < 100) return { from: (value: number) => value, to: (value: number) => value, step: null };
  return { from: Math.log, to: Math.exp, step: 0.01 };
}

function round(value: number, step: number, low: number, high: number): number {
  const whole = Math.round(value / step) * step;
  return Number(Math.min(high, Math.max(low, whole)).toFixed(2));
}

function SeedField(props: FieldProps) {
  const { value, onChange, problem, parameter } = props;
  const id = useId();
  return (
    <div className={classes.field}>
      <Label {...props} id={id} />
      <div className={classes.seed}>
        <NumberInput
          id={`${id}-input`}
          size="xs"
          variant="unstyled"
          className={classes.number}
          hideControls
          allowDecimal={false}
          allowNegative={false}
          placeholder="new each time"
          value={value ?? ""}
          max={parameter.maximum ?? undefined}
          onChange={(next) => onChange(next === "" ? undefined : Number(next))}
        />
        <Tooltip label="Roll a seed and keep it" withArrow>
          <ActionIcon variant="subtle" color="gray" onClick={() => onChange(roll())} aria-label="Roll a seed and keep it">
            <IconDice5 size={18} stroke={1.6} />
          </ActionIcon>
        </Tooltip>
      </div>
      {problem && <Note {...props} id={`${id}-note`} />}
    </div>
  );
}

const roll = () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

function ChoiceField(props: FieldProps) {
  const { parameter, value, onChange } = props;
  const id = useId();
  return (
    <div className={classes.field} data-wide>
      <Label {...props} id={id} />
      <SegmentedControl
        size="xs"
        fullWidth
        className={classes.choice}
        aria-labelledby={id}
        data={(parameter.choices ?? []).map((choice) => ({ value: choice, label: CHOICES[choice] ?? choice }))}
        value={String(value ?? "")}
        onChange={onChange}
      />
    </div>
  );
}

function TextField(props: FieldProps) {
  const { parameter, value, onChange } = props;
  const id = useId();
  return (
    <div className={classes.field} data-wide>
      <Label {...props} id={id} />
      <Textarea
        id={`${id}-input`}
        className={classes.text}
        size="sm"
        autosize
        minRows={1}
        maxRows={4}
        maxLength={parameter.maximum ?? undefined}
        value={String(value ?? "")}
        placeholder="blurry, dark …"
        onChange={(event) => onChange(event.currentTarget.value || undefined)}
      />
    </div>
  );
}
