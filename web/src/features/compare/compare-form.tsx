import { Button, Checkbox, SegmentedControl, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import type { ModelListView } from "@/shared/api/client";
import { defaultModel } from "@/shared/api/models";
import { useDraft } from "@/entities/draft/draft";
import { PromptField } from "@/entities/draft/prompt-field";
import { around, byGuidance, byModels, numbers, type Plan } from "./plan";

type Props = { models: ModelListView; busy: boolean; onStart: (plan: Plan) => void };

/** What to compare: several models, or several strengths of guidance of one. */
export function CompareForm({ models, busy, onStart }: Props) {
  const hasPhoto = useDraft((draft) => draft.sources.length > 0);
  const isTold = useDraft((draft) => draft.prompt.trim() !== "");
  const model = defaultModel(models);
  const [by, setBy] = useState("models");
  const [chosen, setChosen] = useState(models.data.map(({ id }) => id));
  const [text, setText] = useState(() => around(model, "cfg_scale", 1.6));
  const [image, setImage] = useState(() => around(model, "image_cfg_scale", 1.3));
  const [texts, images] = [numbers(text, model, "cfg_scale"), numbers(image, model, "image_cfg_scale")];

  const usable = by === "models" ? chosen.length > 0 : !texts.problem && !images.problem;
  const count = by === "models" ? chosen.length : texts.values.length * images.values.length;
  const start = () => {
    const { prompt, values } = useDraft.getState();
    if (!hasPhoto || !usable || busy || !isTold) return;
    const seed = Number(values.seed ?? roll());
    const base = { prompt, values };
    onStart(
      by === "models"
        ? byModels(models, chosen, base, seed)
        : byGuidance(model, texts.values, images.values, base, seed),
    );
  };

  return (
    <form
      aria-label="Compare"
      onSubmit={(event) => {
        event.preventDefault();
        start();
      }}
    >
      <Stack gap="md">
        <PromptField models={models} onSubmit={start} />
        <SegmentedControl
          fullWidth
          data={[
            { value: "models", label: "By model" },
            { value: "guidance", label: "By guidance" },
          ]}
          value={by}
          onChange={setBy}
          aria-label="Compare by"
        />
        {by === "models" ? (
          <Checkbox.Group label="Models" value={chosen} onChange={setChosen}>
            <Stack gap={8} mt={8}>
              {models.data.map(({ id, summary }) => (
                <Checkbox key={id} value={id} label={id} description={summary} />
              ))}
            </Stack>
          </Checkbox.Group>
        ) : (
          <>
            <TextInput label="Text CFG, down" value={text} error={texts.problem} onChange={(event) => setText(event.currentTarget.value)} />
            <TextInput label="Image CFG, across" value={image} error={images.problem} onChange={(event) => setImage(event.currentTarget.value)} />
          </>
        )}
        <Button type="submit" size="md" loading={busy} disabled={!hasPhoto || !usable || !isTold}>
          Develop {count} {count === 1 ? "edit" : "edits"}
        </Button>
        <Text size="xs" c="dimmed">
          All with the same photo, seed and size, and otherwise with the settings of the editor: only what is compared differs.
        </Text>
      </Stack>
    </form>
  );
}

const roll = () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
