import { Button, Group, Menu } from "@mantine/core";
import { IconAdjustments, IconArrowRight, IconCopy, IconDots, IconDownload, IconLink, IconTrash, IconVersions } from "@tabler/icons-react";
import { fileName, isOver, type Job, outputUrl } from "@/entities/job/job";
import { useJobActions } from "@/entities/job/queries";
import { complain, notify } from "@/shared/notices";
import { canCopy, copyPicture, resultOf, saveAs } from "./picture";

export type StageActions = {
  onReuse: (id: string) => void;
  onGoOn: (job: Job) => void;
  onVary: (job: Job) => void;
  onOpen: (id: string) => void;
  onGone: () => void;
};

/** What can be done with a result; `share` is how much of it is shown over its photo. */
export function ResultActions({ job, share, ...actions }: { job: Job; share: number } & StageActions) {
  const name = fileName(job);
  const download = (event: React.MouseEvent) => {
    event.preventDefault();
    resultOf(job, share).then((picture) => saveAs(picture, name), complain("It could not be downloaded:"));
  };
  return (
    <Group gap="xs">
      <Button component="a" href={outputUrl(job)} download={name} onClick={download} leftSection={<IconDownload size={16} />}>
        Download
      </Button>
      <Button variant="default" leftSection={<IconArrowRight size={16} />} onClick={() => actions.onGoOn(job)}>
        Go on from this
      </Button>
      {canCopy() && (
        <Button variant="default" leftSection={<IconCopy size={16} />} onClick={() => copy(job, share)}>
          Copy
        </Button>
      )}
      <Button variant="default" leftSection={<IconLink size={16} />} onClick={shareLink}>
        Share
      </Button>
      <More job={job} {...actions} />
    </Group>
  );
}

const tell = (text: string) => () => void notify({ text, isError: false });

const copy = (job: Job, share: number) => copyPicture(resultOf(job, share)).then(tell("The picture is copied."), complain("It could not be copied:"));

/** The link to this page by whatever the device shares with, else in the clipboard. */
function shareLink(): void {
  const { href: url } = window.location;
  const shared = navigator.share ? navigator.share({ url, title: document.title }) : navigator.clipboard.writeText(url).then(tell("The link is copied."));
  shared.catch((error: Error) => error.name === "AbortError" || complain("It could not be shared:")(error));
}

/** What is seldom wanted of an edit. */
export function More({ job, onReuse, onVary, onGone }: { job: Job } & StageActions) {
  const { remove } = useJobActions();
  return (
    <Menu position="bottom-end" shadow="md" withinPortal>
      <Menu.Target>
        <Button variant="default" aria-label="More to do with this edit" px="sm">
          <IconDots size={17} />
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {job.output && (
          <Menu.Item leftSection={<IconVersions size={16} />} onClick={() => onVary(job)}>
            Four variations
          </Menu.Item>
        )}
        <Menu.Item leftSection={<IconAdjustments size={16} />} onClick={() => onReuse(job.id)}>
          Reuse its settings
        </Menu.Item>
        <Menu.Item
          leftSection={<IconTrash size={16} />}
          disabled={!isOver(job)}
          onClick={() => {
            remove(job.id);
            onGone();
          }}
        >
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
