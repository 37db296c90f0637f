import { Text } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { Link } from "react-router";
import { jobKey } from "@/entities/job/cache";
import { isOver, type Job, prompt, thumbnailUrl } from "@/entities/job/job";
import classes from "./jobs.module.css";

/** Edits that were sent together, as one row: a comparison, variations, or a batch. `ids` has commas between. */
export function GroupRow({ ids }: { ids: string }) {
  const jobs = useQueries({
    queries: ids.split(",").map((id) => ({ queryKey: jobKey(id), queryFn: () => null as Job | null, enabled: false })),
    combine: (results) => results.flatMap(({ data }) => data ?? []),
  });
  const [first] = jobs;
  if (!first) return null;
  const over = jobs.filter(isOver).length;
  return (
    <div className={classes.row} data-group>
      <Link to={`/compare?jobs=${ids}`} className={classes.open}>
        <span className={classes.pile}>
          <img src={thumbnailUrl(first)} alt="" width={52} height={52} loading="lazy" decoding="async" className={classes.thumbnail} />
        </span>
        <span className={classes.words}>
          <span className={classes.instruction}>{prompt(first)}</span>
          <Text component="span" size="xs" c="dimmed" className={classes.doing}>
            {over < jobs.length ? `${over} of ${jobs.length} edits done` : `${jobs.length} edits, side by side`}
          </Text>
        </span>
      </Link>
    </div>
  );
}
