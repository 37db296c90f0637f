import { Button } from "@mantine/core";
import { adopt, setValue, useDraft, valueOf } from "@/entities/draft/draft";
import type { ModelListView } from "@/shared/api/client";
import { modelOf } from "@/shared/api/models";
import classes from "./editor.module.css";
import { ModelField } from "./model-field";
import { ParameterField } from "./parameter-field";

const FIRST = ["strength", "cfg_scale", "image_cfg_scale", "steps", "temperature", "seed", "size", "resolution"];

/** The model, and all of its settings, those first that people move most. */
export default function Settings({ models, problems }: { models: ModelListView; problems: Record<string, string> }) {
  const model = modelOf(models, useDraft((draft) => draft.model));
  const values = useDraft((draft) => draft.values);
  const known = model.parameters.filter(({ name }) => name !== "prompt");
  const ordered = [...FIRST.flatMap((name) => known.filter((one) => one.name === name)), ...known.filter(({ name }) => !FIRST.includes(name))];
  return (
    <div className={classes.controls}>
      <ModelField models={models} model={model} onChange={(id) => useDraft.setState({ model: id })} />
      {ordered.map((parameter) => (
        <ParameterField
          key={parameter.name}
          model={model}
          parameter={parameter}
          value={valueOf(model, values, parameter.name)}
          touched={parameter.name in values}
          problem={problems[parameter.name]}
          onChange={(value) => setValue(parameter.name, value)}
        />
      ))}
      {known.some(({ name }) => name in values) && (
        <Button variant="subtle" color="gray" size="compact-xs" onClick={() => adopt(model.id, {})}>
          All settings back to the model's own
        </Button>
      )}
    </div>
  );
}
