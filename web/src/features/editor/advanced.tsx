import { Collapse, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconChevronDown } from "@tabler/icons-react";
import { lazy, Suspense } from "react";
import { useDraft } from "@/entities/draft/draft";
import { ApiError, type ModelListView } from "@/shared/api/client";
import { modelOf } from "@/shared/api/models";
import classes from "./editor.module.css";

const Settings = lazy(() => import("./settings"));

/** By which model, and how: for who wants to know. A setting that was refused opens it. */
export function Advanced({ models, error }: { models: ModelListView; error: Error | null }) {
  const [opened, { toggle }] = useDisclosure();
  const problems = error instanceof ApiError ? error.fields : {};
  const model = modelOf(models, useDraft((draft) => draft.model));
  const touched = useDraft(({ values }) => model.parameters.filter(({ name }) => name in values).length);
  const isOpen = opened || model.parameters.some(({ name }) => name !== "prompt" && name in problems);
  return (
    <section className={classes.advanced} aria-label="Settings">
      <UnstyledButton className={classes.more} onClick={toggle} aria-expanded={isOpen}>
        <IconChevronDown size={15} data-open={isOpen || undefined} />
        <span>
          Advanced{touched > 0 && `: ${touched === 1 ? "one setting" : `${touched} settings`} changed`}
        </span>
      </UnstyledButton>
      <Collapse expanded={isOpen} keepMounted={false}>
        <Suspense>
          <Settings models={models} problems={problems} />
        </Suspense>
      </Collapse>
    </section>
  );
}
