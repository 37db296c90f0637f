import { Drawer } from "@mantine/core";
import type { ReactNode } from "react";

/** The pages, on a screen too narrow for them. */
export default function Menu({ onClose, children }: { onClose: () => void; children: ReactNode }) {
  return (
    <Drawer opened onClose={onClose} position="right" size="16rem" title="Pages" closeButtonProps={{ "aria-label": "Close the menu" }}>
      {children}
    </Drawer>
  );
}
