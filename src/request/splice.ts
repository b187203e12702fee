/** Changes a body in a few places without writing the rest of it anew. */
import type { BodyEdit, ModelField } from './parsed-request.ts';

/** The body with all edits made, in memory of its own; the body itself where there are none. */
export function spliceBody(body: Buffer, edits: readonly BodyEdit[]): Buffer {
  if (edits.length === 0) return body;
  const ordered = edits.length === 1 ? edits : edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
  const texts = ordered.map((edit) => Buffer.from(edit.text));
  let length = body.length;
  ordered.forEach((edit, index) => (length += texts[index]!.length - (edit.end - edit.start)));
  const spliced = Buffer.allocUnsafe(length);
  let read = 0;
  let written = 0;
  ordered.forEach((edit, index) => {
    if (edit.start < read || edit.end < edit.start || edit.end > body.length) {
      throw new RangeError(
        `Cannot splice bytes ${edit.start} to ${edit.end}: edits overlap or are outside the body`,
      );
    }
    written += body.copy(spliced, written, read, edit.start);
    written += texts[index]!.copy(spliced, written);
    read = edit.end;
  });
  body.copy(spliced, written, read);
  return spliced;
}

/** The edit that names another model, in the form that the body has for it. */
export function modelEdit(
  { modelSpan, modelForm }: Pick<ModelField, 'modelSpan' | 'modelForm'>,
  model: string,
): BodyEdit {
  const text = modelForm === 'json-string' ? JSON.stringify(model) : model;
  return { start: modelSpan.start, end: modelSpan.end, text };
}
