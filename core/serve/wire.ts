/** Requests as they are on the wire, once they are known to be well formed. Absent and `null` mean the same. */

/** A field that may be absent. */
type May<T> = T | null | undefined;

/** What all requests for texts have. */
export interface CommonRequest {
  readonly model?: May<string>;
  /** Texts for each prompt. */
  readonly n?: May<number>;
  readonly stream?: May<boolean>;
  readonly stream_options?: May<{ readonly include_usage?: May<boolean> }>;
  readonly max_tokens?: May<number>;
  readonly temperature?: May<number>;
  readonly top_p?: May<number>;
  /** −1 and 0 keep all tokens, as with vLLM. */
  readonly top_k?: May<number>;
  readonly seed?: May<number>;
  readonly stop?: May<string | readonly string[]>;
  readonly stop_token_ids?: May<readonly number[]>;
  /** Go on to the most tokens. */
  readonly ignore_eos?: May<boolean>;
  /** Tokens proposed a round; of this server only. */
  readonly num_spec_tokens?: May<number>;
  /** Say of each piece of text whether it was proposed; of this server only. */
  readonly return_accepted?: May<boolean>;
}

/** A turn of a chat. */
export interface WireMessage {
  readonly role: string;
  readonly content?: May<string | readonly { readonly type: "text"; readonly text: string }[]>;
  readonly name?: May<string>;
  readonly tool_call_id?: May<string>;
  readonly tool_calls?: May<readonly object[]>;
  readonly reasoning_content?: May<string>;
}

/** What a chat's prompt is made of. */
export interface WireChat {
  readonly messages: readonly WireMessage[];
  readonly add_generation_prompt?: May<boolean>;
  readonly add_special_tokens?: May<boolean>;
  readonly chat_template_kwargs?: May<Readonly<Record<string, string | number | boolean | null>>>;
}

/** The body of `/v1/chat/completions`. */
export interface ChatRequest extends CommonRequest, WireChat {
  readonly max_completion_tokens?: May<number>;
  readonly logprobs?: May<boolean>;
  readonly top_logprobs?: May<number>;
}

/** The body of `/v1/completions`. */
export interface CompletionRequest extends CommonRequest {
  readonly prompt: string | readonly number[] | readonly string[] | readonly (readonly number[])[];
  readonly add_special_tokens?: May<boolean>;
  readonly logprobs?: May<number>;
  readonly echo?: May<boolean>;
}

/** The body of `/tokenize`: a text, or a chat. */
export type TokenizeRequest =
  & { readonly model?: May<string>; readonly return_token_strs?: May<boolean> }
  & ({ readonly prompt: string; readonly add_special_tokens?: May<boolean> } | WireChat);

/** The body of `/detokenize`. */
export interface DetokenizeRequest {
  readonly model?: May<string>;
  readonly tokens: readonly number[];
}

/** Bodies by what is asked. */
export interface Requests {
  readonly chat: ChatRequest;
  readonly completion: CompletionRequest;
  readonly tokenize: TokenizeRequest;
  readonly detokenize: DetokenizeRequest;
}
