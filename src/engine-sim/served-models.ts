/** The model that an engine serves and the LoRA adapters loaded into it. */
import { z } from 'zod';
import { ApiError, modelNotFound } from './api-error.ts';

/** A request's model name, resolved. */
export interface ResolvedModel {
  /** What the reply names. */
  readonly name: string;
  /** The adapter, where it is one. */
  readonly adapter: string | undefined;
}

/** The body of `POST /v1/load_lora_adapter`. */
export const loadAdapterSchema = z.looseObject({
  lora_name: z.string().default(''),
  lora_path: z.string().default(''),
  load_inplace: z.boolean().default(false),
});
/** The body of `POST /v1/unload_lora_adapter`. */
export const unloadAdapterSchema = z.looseObject({ lora_name: z.string().default('') });

export class ServedModels {
  readonly #base: string;
  readonly #maxModelLen: number;
  readonly #createdSeconds: number;
  readonly #adapters = new Map<string, { readonly path: string }>();
  #hadAdapters = false;

  constructor(base: string, maxModelLen: number, createdSeconds: number) {
    this.#base = base;
    this.#maxModelLen = maxModelLen;
    this.#createdSeconds = createdSeconds;
  }

  get base(): string {
    return this.#base;
  }

  /** Whether an adapter was ever loaded: only then do the metrics speak of LoRA. */
  get hadAdapters(): boolean {
    return this.#hadAdapters;
  }

  /** No name, or an empty one, means the base model, as it does to vLLM. */
  resolve(name: string | null | undefined): ResolvedModel {
    if (name === undefined || name === null || name === '' || name === this.#base)
      return { name: this.#base, adapter: undefined };
    if (this.#adapters.has(name)) return { name, adapter: name };
    throw modelNotFound(name);
  }

  add(name: string, path = `/adapters/${name}`): void {
    this.#adapters.set(name, { path });
    this.#hadAdapters = true;
  }

  /** Answers `POST /v1/load_lora_adapter`. */
  load({
    lora_name: name,
    lora_path: path,
    load_inplace: inPlace,
  }: z.infer<typeof loadAdapterSchema>): string {
    if (name === '' || path === '')
      throw new ApiError(400, 'InvalidUserInput', "Both 'lora_name' and 'lora_path' must be provided.");
    if (this.#adapters.has(name) && !inPlace) {
      throw new ApiError(
        400,
        'InvalidUserInput',
        `The lora adapter '${name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`,
      );
    }
    this.add(name, path);
    return `Success: LoRA adapter '${name}' added successfully.`;
  }

  /** Answers `POST /v1/unload_lora_adapter`. */
  unload({ lora_name: name }: z.infer<typeof unloadAdapterSchema>): string {
    if (name === '')
      throw new ApiError(
        400,
        'InvalidUserInput',
        "'lora_name' needs to be provided to unload a LoRA adapter.",
      );
    if (!this.#adapters.delete(name))
      throw new ApiError(404, 'NotFoundError', `The lora adapter '${name}' cannot be found.`);
    return `Success: LoRA adapter '${name}' removed successfully.`;
  }

  /** The body of `GET /v1/models`. */
  list(): unknown {
    const adapters = [...this.#adapters].map(([id, { path }]) => this.#card(id, path, this.#base, null));
    return {
      object: 'list',
      data: [this.#card(this.#base, this.#base, null, this.#maxModelLen), ...adapters],
    };
  }

  #card(id: string, root: string, parent: string | null, maxModelLen: number | null): unknown {
    return {
      id,
      object: 'model',
      created: this.#createdSeconds,
      owned_by: 'vllm',
      root,
      parent,
      max_model_len: maxModelLen,
      permission: [
        {
          id: `modelperm-${id}`,
          object: 'model_permission',
          created: this.#createdSeconds,
          allow_create_engine: false,
          allow_sampling: true,
          allow_logprobs: true,
          allow_search_indices: false,
          allow_view: true,
          allow_fine_tuning: false,
          organization: '*',
          group: null,
          is_blocking: false,
        },
      ],
    };
  }
}
