/** Only endpoints that have the requested model or LoRA adapter loaded now. */
import { z } from 'zod';
import { servesModel } from '../../endpoints/endpoint.ts';
import type { FilterDefinition } from '../plugin.ts';

/** Keeps endpoints whose engine lists the model; one that never answered is believed to serve what the operator says. */
export const loraAffinityFilter: FilterDefinition<Record<string, never>> = {
  kind: 'filter',
  type: 'lora-affinity',
  description: 'Keeps endpoints whose engine lists the requested model or LoRA adapter under /v1/models.',
  params: z.strictObject({}),
  whenEmpty: 'ineligible',
  create() {
    return {
      keep({ model }, endpoint) {
        return endpoint.listedModels?.has(model) ?? servesModel(endpoint, model);
      },
    };
  },
};
