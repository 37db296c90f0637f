import { Text } from "@mantine/core";
import { useDraft } from "./draft";
import classes from "./prompt-field.module.css";

/** Instructions of which one becomes the draft's at a click. */
export function Chips({ label, texts }: { label: string; texts: string[] }) {
  const choose = (text: string) => {
    useDraft.setState({ prompt: text });
    document.getElementById("prompt")?.focus();
  };
  return (
    <ul className={classes.chips} aria-label={label}>
      {texts.map((text) => (
        <li key={text}>
          <button type="button" onClick={() => choose(text)}>
            <Text component="span" size="xs">
              {text}
            </Text>
          </button>
        </li>
      ))}
    </ul>
  );
}
