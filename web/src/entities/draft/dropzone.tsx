import { Text } from "@mantine/core";
import { Dropzone } from "@mantine/dropzone";
import "@mantine/dropzone/styles.css";
import classes from "./dropzone.module.css";

/** The whole window, once files hover over it. */
export default function Everywhere({ take, label }: { take: (files: File[]) => void; label: string }) {
  return (
    <Dropzone.FullScreen
      active
      withinPortal={false}
      onDrop={take}
      onReject={(rejected) => take(rejected.map(({ file }) => file))}
      inputProps={{ "aria-label": label }}
      classNames={{ root: classes.window, inner: classes.words }}
    >
      <Text ff="heading" fz="2rem">
        {label}
      </Text>
    </Dropzone.FullScreen>
  );
}
