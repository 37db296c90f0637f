import { Select, Text } from "@mantine/core";
import type { ModelListView, ModelView } from "@/shared/api/client";
import classes from "./editor.module.css";

const NETWORKS = { text_encoder: "Text encoder", vae: "VAE", unet: "UNet" } as const;

type Props = { models: ModelListView; model: ModelView; onChange: (id: string) => void };

/** Which model, and what it is made of. */
export function ModelField({ models, model, onChange }: Props) {
  return (
    <div className={classes.model}>
      <Select
        label="Model"
        data={models.data.map(({ id }) => id)}
        value={model.id}
        allowDeselect={false}
        comboboxProps={{ shadow: "md" }}
        renderOption={({ option }) => <Option model={models.data.find(({ id }) => id === option.value)} />}
        onChange={(id) => id && onChange(id)}
      />
      <Text size="xs" c="dimmed" mt={6}>
        {model.summary} {unserved(models, model)}
      </Text>
      <MadeOf model={model} />
    </div>
  );
}

/** Says so where other models are served now, and this one is not. */
function unserved(models: ModelListView, model: ModelView): string {
  const others = models.data.some(({ workers }) => workers > 0);
  return others && model.workers === 0 ? "No worker serves it now: an edit waits for one." : "";
}

function Option({ model }: { model: ModelView | undefined }) {
  return (
    <div>
      <Text size="sm">{model?.id}</Text>
      <Text size="xs" c="dimmed">
        {model?.summary}
      </Text>
    </div>
  );
}

export function MadeOf({ model }: { model: ModelView }) {
  return (
    <ul className={classes.parts} aria-label="What it is made of">
      {Object.entries(NETWORKS).map(([part, name]) => {
        const ours = model.made_of[part as keyof typeof NETWORKS] === "ours";
        return (
          <li key={part} data-ours={ours || undefined}>
            {name} <b>{ours ? "ours" : "library"}</b>
          </li>
        );
      })}
      <li>
        Sampler <b>{model.sampler}</b>
      </li>
      <li>
        Guidance <b>{model.guidance === "text" ? `text only, ${model.text_scale}` : "three-way"}</b>
      </li>
    </ul>
  );
}
