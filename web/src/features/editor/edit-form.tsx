import { Alert, Button, Collapse, Kbd, Text, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconChevronDown } from "@tabler/icons-react";
import type { ModelListView, ModelView } from "@/shared/api/client";
import { ApiError } from "@/shared/api/client";
import { defaultModel } from "@/shared/api/models";
import { adopt, draft, fields, setValue, type Source, useDraft, valueOf } from "./draft";
import classes from "./editor.module.css";
import { ModelField } from "./model-field";
import { nameOf, ParameterField } from "./parameter-field";
import { PromptField } from "./prompt-field";

const FIRST = ["strength", "cfg_scale", "image_cfg_scale", "steps", "temperature", "seed", "size", "resolution"];

type Props = {
  models: ModelListView;
  busy: boolean;
  error: Error | null;
  onSubmit: (source: Source, fields: Record<string, string | number>) => void;
};

export function modelOf(models: ModelListView, id: string | null): ModelView {
  return models.data.find((model) => model.id === id) ?? defaultModel(models);
}

/** What to change, by which model, and how. */
export function EditForm({ models, busy, error, onSubmit }: Props) {
  const { source, prompt, model: chosen, values } = useDraft();
  const model = modelOf(models, chosen);
  const ready = source !== null && prompt.trim() !== "";
  const submit = () => source && ready && !busy && onSubmit(source, fields(model, { prompt, values }));
  const problems = error instanceof ApiError ? error.fields : {};
  return (
    <form
      className={classes.form}
      aria-label="Edit"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <PromptField instructions={models.checkpoint.instructions} problem={problems.prompt} onSubmit={submit} />
      <Button type="submit" size="md" fullWidth loading={busy} disabled={!ready} className={classes.submit}>
        Develop
        <Kbd size="xs" className={classes.kbd} aria-hidden>
          ⌘↵
        </Kbd>
      </Button>
      <Missing source={source} prompt={prompt} />
      {error && <Refusal error={error} />}
      <ModelField models={models} model={model} onChange={(id) => draft.set({ model: id })} />
      <Controls model={model} problems={problems} />
    </form>
  );
}

function Missing({ source, prompt }: { source: Source | null; prompt: string }) {
  const missing = [source ? "" : "a photo", prompt.trim() ? "" : "an instruction"].filter(Boolean).join(" and ");
  return (
    <Text size="xs" c="dimmed" ta="center" className={classes.missing} aria-live="polite">
      {missing && `Still needed: ${missing}`}
    </Text>
  );
}

function Refusal({ error }: { error: Error }) {
  return (
    <Alert role="alert" variant="light" title="That could not be sent">
      {error.message}
    </Alert>
  );
}

function Controls({ model, problems }: { model: ModelView; problems: Record<string, string> }) {
  const { values, prompt } = useDraft();
  const [open, { toggle }] = useDisclosure();
  const known = model.parameters.filter(({ name }) => name !== "prompt");
  const rest = known.filter(({ name }) => !FIRST.includes(name));
  const field = (parameter: (typeof known)[number]) => (
    <ParameterField
      key={parameter.name}
      parameter={parameter}
      value={valueOf(model, values, parameter.name)}
      touched={parameter.name in values}
      problem={problems[parameter.name]}
      onChange={(value) => setValue(parameter.name, value)}
    />
  );
  const touched = known.some(({ name }) => name in values);
  return (
    <section className={classes.controls} aria-label="Settings">
      {FIRST.flatMap((name) => known.filter((one) => one.name === name)).map(field)}
      <UnstyledButton className={classes.more} onClick={toggle} aria-expanded={open}>
        <IconChevronDown size={15} data-open={open || undefined} />
        {rest.map(nameOf).join(", ")}
      </UnstyledButton>
      <Collapse expanded={open}>
        <div className={classes.rest}>{rest.map(field)}</div>
      </Collapse>
      {touched && (
        <Button variant="subtle" color="gray" size="compact-xs" onClick={() => adopt(model.id, { prompt })}>
          All settings back to the model's own
        </Button>
      )}
    </section>
  );
}
