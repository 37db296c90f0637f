import { Container, Text, Title } from "@mantine/core";
import { lazy, type ReactNode, Suspense } from "react";
import { useSession } from "@/shared/api/session";
import { useKeyWanted } from "@/shared/api/session-ends";

const SignIn = lazy(() => import("./sign-in"));
const SignInOver = lazy(() => import("./sign-in-over"));

/** What is behind it needs a key where the service asks for keys; it is shown at once, until the service says so. */
export function Gate({ children }: { children: ReactNode }) {
  if (useSession() !== null) return children;
  return (
    <Container size={420} py="14vh" w="100%">
      <Title order={1}>Come in</Title>
      <Text c="dimmed" mt="xs" mb="lg">
        This Darkroom asks for a key. It is traded for a session in this browser, and kept nowhere else.
      </Text>
      <Suspense>
        <SignIn />
      </Suspense>
    </Container>
  );
}

/** Asks for a key over the page when a session ends while it is open; what was asked for goes on afterwards. */
export function Again() {
  const { wanted } = useKeyWanted();
  const session = useSession();
  if (!wanted || !session) return null;
  return (
    <Suspense>
      <SignInOver />
    </Suspense>
  );
}
