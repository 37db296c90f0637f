import { Button, Text } from "@mantine/core";
import { nameOf, sourceOf, useDraft } from "@/entities/draft/draft";
import { Photo } from "@/entities/draft/photo";
import classes from "./editor.module.css";

/** Which photo the next edit is of, while another edit is looked at. */
export function SourceChip({ onChoose }: { onChoose: () => void }) {
  const source = useDraft(sourceOf);
  const others = useDraft((draft) => draft.sources.length - 1);
  return (
    <div className={classes.chip}>
      {source ? <Photo url={source.url} name={nameOf(source)} small className={classes.small} /> : <span className={classes.small} />}
      <Text size="sm" flex={1} lineClamp={1}>
        {source ? `${nameOf(source)}${others > 0 ? ` and ${others} more` : ""}` : "No photo chosen"}
      </Text>
      <Button variant="subtle" size="compact-sm" onClick={onChoose}>
        {source ? "Show" : "Choose"}
      </Button>
    </div>
  );
}
