import { Anchor, Text, Textarea } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useRef } from "react";
import { Link } from "react-router";
import type { ModelListView } from "@/shared/api/client";
import { Chips } from "./chips";
import { useDraft } from "./draft";
import { usePromptHistory } from "./history";
import { nearest } from "./nearest";
import classes from "./prompt-field.module.css";

type Props = { models: ModelListView; hinted?: boolean; problem?: string; onSubmit: () => void };

/** The instruction, with examples that the loaded checkpoint follows well, and earlier ones at Alt ↑. */
export function PromptField({ models, hinted = false, problem, onSubmit }: Props) {
  const prompt = useDraft((draft) => draft.prompt);
  const input = useRef<HTMLTextAreaElement>(null);
  const history = usePromptHistory();
  const hasKeyboard = useMediaQuery("(hover: hover) and (pointer: fine)");
  const set = (text: string) => useDraft.setState({ prompt: text });
  const chosen = useDraft((draft) => draft.model);
  const abilities = models.data.find(({ id, default: usual }) => (chosen ? id === chosen : usual))?.abilities ?? {};
  const known = Object.values(abilities).flat();
  const near = known.includes(prompt.trim()) ? null : nearest(prompt, known);
  const { maximum } = models.data[0]?.parameters.find(({ name }) => name === "prompt") ?? {};

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      onSubmit();
    }
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const earlier = direction && event.altKey ? history(direction, prompt) : null;
    if (earlier !== null) {
      event.preventDefault();
      set(earlier);
    }
  };

  return (
    <div>
      <Textarea
        ref={input}
        id="prompt"
        label="What should change?"
        description={hinted && hasKeyboard ? "Enter sends it, Alt ↑ brings back earlier ones." : undefined}
        placeholder={models.checkpoint.instructions[0] ?? "make it look like night"}
        autosize
        minRows={2}
        maxRows={5}
        maxLength={maximum ?? undefined}
        value={prompt}
        error={problem}
        inputWrapperOrder={["label", "input", "error", "description"]}
        classNames={{ input: classes.prompt, description: classes.hint }}
        onChange={(event) => set(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      {models.checkpoint.instructions.length > 0 && <Chips label="Instructions that work well" texts={models.checkpoint.instructions} />}
      {near && near.length > 0 && <Chips label="Near to what you typed" texts={near} />}
      {near?.length === 0 && known.length > 0 && (
        <Text size="xs" c="dimmed" mt={8} role="status">
          None of its instructions has a word of yours. What it does not know leaves the photo as it is.
        </Text>
      )}
      {known.length > 0 && (
        <details className={classes.abilities}>
          <summary>All that it can do</summary>
          {Object.entries(abilities).map(([kind, texts]) => (
            <section key={kind}>
              <Text size="xs" c="dimmed">
                {kind}
              </Text>
              <Chips label={`Instructions: ${kind}`} texts={texts} />
            </section>
          ))}
        </details>
      )}
      {models.checkpoint.name === "micro" && (
        <Anchor component={Link} to="/checkpoint" size="xs" underline="always" mt={8} display="inline-block">
          What this checkpoint can do, and what not
        </Anchor>
      )}
    </div>
  );
}
