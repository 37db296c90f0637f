import { Modal, Text } from "@mantine/core";
import SignIn from "./sign-in";

/** The question for a key, over a page that stays as it is. */
export default function SignInOver() {
  return (
    <Modal.Root opened onClose={() => {}} centered>
      <Modal.Overlay />
      <Modal.Content>
        <Modal.Body pt="md">
          <Modal.Title fz="1.4rem" ff="heading">
            Your session has ended
          </Modal.Title>
          <Text c="dimmed" size="sm" mt="xs" mb="md">
            Sign in again: everything on this page is still here and goes on.
          </Text>
          <SignIn />
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}
