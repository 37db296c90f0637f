import { Button, Container, Text, Title } from "@mantine/core";
import { useQueryErrorResetBoundary } from "@tanstack/react-query";
import { useState } from "react";
import { useRouteError } from "react-router";
import { ApiError } from "@/shared/api/client";
import { reloadIfStale } from "./stale";

/** In place of a page that cannot be shown; the header stays. Loading it anew is the way on, and loses no draft. */
export function Failed() {
  const error = useRouteError();
  const { reset } = useQueryErrorResetBoundary();
  const [reloads] = useState(reloadIfStale);
  const again = () => {
    reset();
    window.location.reload();
  };
  if (reloads) return null;
  return (
    <Container size="sm" py="16vh" w="100%">
      <Title order={1}>{error instanceof ApiError ? "The service refused" : "This page did not come"}</Title>
      <Text c="dimmed" mt="md" role="alert">
        {error instanceof ApiError ? error.message : "Part of it could not be loaded, or broke. What you were preparing is kept."}
      </Text>
      <Button mt="lg" onClick={again}>
        Load it again
      </Button>
    </Container>
  );
}
