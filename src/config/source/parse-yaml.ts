/** YAML 1.2 documents out of a text, within bounds that keep hostile or broken files cheap. */
import { Composer, CST, Lexer, Parser, type Document, type YAMLError } from 'yaml';
import type { Mistake } from './mistake.ts';
import type { Span } from './placed-text.ts';

/** Levels of nesting, in one text. */
export const maxDepth = 100;

/** About 1 MiB of ordinary YAML; what is denser is no configuration, and takes seconds. */
const maxLexemes = 300_000;
const maxDocuments = 1000;
const maxSyntaxErrors = 100;

export interface ParsedYaml {
  /** Every document, empty ones too; none where the text holds nothing but comments. */
  readonly documents: readonly Document.Parsed[];
  readonly comments: readonly Span[];
  /** What is no YAML. With any of these, the documents are a guess. */
  readonly mistakes: readonly Mistake[];
}

/** Parses all documents of a text. Never throws. */
export function parseYaml(text: string): ParsedYaml {
  const control = controlCharacter(text);
  if (control !== undefined) return { documents: [], comments: [], mistakes: [control] };
  const { tokens, comments, excess } = readTokens(text);
  if (excess !== undefined) return { documents: [], comments, mistakes: [excess] };

  // Duplicate keys are judged by whoever knows what the mapping is; known tags would become dates and bytes.
  const composer = new Composer({
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    uniqueKeys: false,
    prettyErrors: false,
  });
  const documents: Document.Parsed[] = [];
  for (const document of composer.compose(tokens)) documents.push(document);
  const errors = [...documents, composer.streamInfo()].flatMap((part) => [...part.errors, ...part.warnings]);
  return { documents, comments, mistakes: errors.map((error) => toMistake(error, text)) };
}

/** Characters that YAML forbids; the lexer uses some of them for itself. */
function controlCharacter(text: string): Mistake | undefined {
  const at = text.search(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/);
  if (at === -1) return undefined;
  const code = text.charCodeAt(at).toString(16).toUpperCase().padStart(4, '0');
  const message = `the character U+${code} has no place in YAML: remove it, or save the file as UTF-8 text`;
  return { at, path: [], message };
}

interface Tokens {
  readonly tokens: readonly CST.Token[];
  readonly comments: readonly Span[];
  /** The bound that the text breaks. */
  readonly excess: Mistake | undefined;
}

function readTokens(text: string): Tokens {
  const tokens: CST.Token[] = [];
  const comments: Span[] = [];
  const parser = new Parser();
  let lexemes = 0;
  let documents = 0;
  let errors = 0;
  let offset = 0;

  const refused = (message: string): Tokens => ({
    tokens,
    comments,
    excess: { at: offset, path: [], message },
  });

  for (const lexeme of new Lexer().lex(text)) {
    if (++lexemes > maxLexemes) return refused(`is too much YAML: more than ${maxLexemes} words and signs`);
    for (const token of parser.next(lexeme)) {
      tokens.push(token);
      if (token.type === 'document') documents++;
      if (token.type === 'error') errors++;
    }
    if (documents > maxDocuments) return refused(`there are more than ${maxDocuments} documents`);
    // The parser's stack has the document at the bottom, and on top of its collections perhaps a scalar.
    if (parser.stack.length > maxDepth + 1 && CST.isCollection(parser.stack.at(-1)))
      return refused(`is nested deeper than ${maxDepth} levels`);
    if (errors > maxSyntaxErrors) break;

    const control = lexeme === documentStart || lexeme === flowEnd || lexeme === scalarStart;
    if (lexeme.startsWith('#')) comments.push({ start: offset, end: offset + lexeme.length });
    if (!control) offset += lexeme.length;
  }
  tokens.push(...parser.end());
  return { tokens, comments, excess: undefined };
}

/** Lexemes that announce something and stand for no text. */
const documentStart = '\x02';
const flowEnd = '\x18';
const scalarStart = '\x1f';

function toMistake({ code, message, pos }: YAMLError, text: string): Mistake {
  const at = Math.min(Math.max(pos[0], 0), text.length);
  if (code !== 'TAG_RESOLVE_FAILED') return { at, path: [], message };
  const tag = text.slice(pos[0], pos[1]);
  return { at, path: [], message: `the tag ${tag} is not known here: remove it and write a plain value` };
}
