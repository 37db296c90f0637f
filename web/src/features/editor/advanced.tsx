import { Button, Collapse, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconChevronDown } from "@tabler/icons-react";
import { adopt, setValue, useDraft, valueOf } from "@/entities/draft/draft";
import { ApiError, type ModelListView } from "@/shared/api/client";
import { modelOf } from "@/shared/api/models";
import classes from "./editor.module.css";
import { ModelField } from "./model-field";
import { ParameterField } from "./parameter-field";

const FIRST = ["strength", "cfg_scale", "image_cfg_scale", "steps", "temperature", "seed", "size", "resolution"];

/** By which model, and how: for who wants to know. A setting that was refused opens it. */
export function Advanced({ models, error }: { models: ModelListView; error: Error | null }) {
  const [opened, { toggle }] = useDisclosure();
  const problems = error instanceof ApiError ? error.fields : {};
  const model = modelOf(models, useDraft((draft) => draft.model));
  const values = useDraft((draft) => draft.values);
  const known = model.parameters.filter(({ name }) => name !== "prompt");
  const ordered = [...FIRST.flatMap((name) => known.filter((one) => one.name === name)), ...known.filter(({ name }) => !FIRST.includes(name))];
  const touched = known.filter(({ name }) => name in values).length;
  const isOpen = opened || known.some(({ name }) => name in problems);
  return (
    <section className={classes.advanced} aria-label="Settings">
      <UnstyledButton className={classes.more} onClick={toggle} aria-expanded={isOpen}>
        <IconChevronDown size={15} data-open={isOpen || undefined} />
        <span>
          Advanced{touched > 0 && `: ${touched === 1 ? "one setting" : `${touched} settings`} changed`}
        </span>
      </UnstyledButton>
      <Collapse expanded={isOpen} keepMounted={false}>
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
          {touched > 0 && (
            <Button variant="subtle" color="gray" size="compact-xs" onClick={() => adopt(model.id, {})}>
              All settings back to the model's own
            </Button>
          )}
        </div>
      </Collapse>
    </section>
  );
}
