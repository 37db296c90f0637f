import { Anchor, Text } from "@mantine/core";
import { Link } from "react-router";
import { prompt } from "@/entities/job/job";
import { useJob } from "@/entities/job/queries";

const LONGEST = 6;

/** The edits that led to one, the oldest first, each a way back. */
export function Chain({ id }: { id: string }) {
  return (
    <Text component="nav" size="sm" c="dimmed" aria-label="The edits before this one">
      <Ancestor id={id} left={LONGEST} />
    </Text>
  );
}

function Ancestor({ id, left }: { id: string; left: number }) {
  const job = useJob(id);
  if (!job) return job === null ? "an edit that is gone → " : null;
  return (
    <>
      {job.parent && (left > 1 ? <Ancestor id={job.parent} left={left - 1} /> : "… → ")}
      <Anchor component={Link} to={`/jobs/${id}`} underline="always">
        {prompt(job)}
      </Anchor>
      {" → "}
    </>
  );
}
