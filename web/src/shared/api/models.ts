import { useQuery } from "@tanstack/react-query";
import { listModels, type ModelListView, type ModelView, type ParameterView } from "./client";

/** The models as the service has them. */
export function useModels(): ModelListView | undefined {
  return useQuery({ queryKey: ["models"], queryFn: async () => (await listModels({ throwOnError: true })).data }).data;
}

export function defaultModel(models: ModelListView): ModelView {
  return models.data.find((model) => model.default) ?? (models.data[0] as ModelView);
}

/** The model of this id; the default one where there is none. */
export function modelOf(models: ModelListView, id: string | null): ModelView {
  return models.data.find((model) => model.id === id) ?? defaultModel(models);
}

export function parameter(model: ModelView, name: string): ParameterView | undefined {
  return model.parameters.find((one) => one.name === name);
}
