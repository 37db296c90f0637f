import { Button, Text } from "@mantine/core";
import { useDraft } from "@/features/editor/draft";
import classes from "./editor.module.css";

/** Which photo the next edit is of, while another edit is looked at. */
export function SourceChip({ onChoose }: { onChoose: () => void }) {
  const { source } = useDraft();
  return (
    <div className={classes.chip}>
      {source ? <img src={source.url} alt="" width={40} height={40} /> : <span className={classes.noPhoto} />}
      <Text size="sm" flex={1} lineClamp={1}>
        {source ? (source.kind === "file" ? source.file.name : "The edit before") : "No photo chosen"}
      </Text>
      <Button variant="subtle" size="compact-sm" onClick={onChoose}>
        {source ? "Show" : "Choose"}
      </Button>
    </div>
  );
}
