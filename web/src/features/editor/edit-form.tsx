import { Alert, Button, Kbd, Text } from "@mantine/core";
import { fields, type Source, useDraft, type Value } from "@/entities/draft/draft";
import type { Mark } from "@/entities/draft/marks";
import { PromptField } from "@/entities/draft/prompt-field";
import { ApiError, type ModelListView } from "@/shared/api/client";
import { modelOf } from "@/shared/api/models";
import classes from "./editor.module.css";

export type Prepared = { sources: Source[]; fields: Record<string, Value>; marks: Mark[] };

type Props = {
  models: ModelListView;
  /** Whether there are edits already: who has made one is told of the keys. */
  isKnown: boolean;
  busy: boolean;
  error: Error | null;
  onSubmit: (prepared: Prepared) => void;
};

/** What to change, and go. */
export function EditForm({ models, isKnown, busy, error, onSubmit }: Props) {
  const count = useDraft((draft) => draft.sources.length);
  const isTold = useDraft((draft) => draft.prompt.trim() !== "");
  const submit = () => {
    const { sources, marks, ...draft } = useDraft.getState();
    if (!sources.length || !draft.prompt.trim() || busy) return;
    onSubmit({ sources, marks, fields: fields(modelOf(models, draft.model), draft) });
  };
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
      <PromptField models={models} hinted={isKnown} problem={problems.prompt} onSubmit={submit} />
      <Button type="submit" size="md" fullWidth loading={busy} disabled={!count || !isTold} className={classes.submit}>
        {count > 1 ? `Develop ${count} photos` : "Develop"}
        <Kbd size="xs" className={classes.kbd} aria-hidden>
          ↵
        </Kbd>
      </Button>
      <Missing photo={count === 0} instruction={!isTold} />
      {error && <Refusal error={error} />}
    </form>
  );
}

function Missing({ photo, instruction }: { photo: boolean; instruction: boolean }) {
  const missing = [photo && "a photo", instruction && "an instruction"].filter(Boolean).join(" and ");
  return (
    <Text size="xs" c="dimmed" ta="center" className={classes.missing} aria-live="polite">
      {missing && `Still needed: ${missing}`}
    </Text>
  );
}

function Refusal({ error }: { error: Error }) {
  const away = error instanceof ApiError && error.isAway;
  return (
    <Alert role="alert" variant="light" title={away ? "The service cannot be reached" : "That could not be sent"}>
      {away ? "Photo and instruction are kept here. Send them again in a moment." : error.message}
    </Alert>
  );
}
