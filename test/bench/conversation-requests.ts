/** Chat completions of many conversations, as a script of wrk. */
import { conversationPieces, counter } from './prompts.ts';

/** How many go on at the same time. */
export const conversations = 2000;
/** One of so many requests belongs to none of them: no other prompt begins like its own. */
export const oneUniqueOf = 4;
/** The header that names the conversation; a unique prompt is a session of its own. */
export const sessionHeader = 'x-session-id';

/**
 * Lua that makes every request. Those of a conversation begin with what all conversations have in common, go on with what is
 * its own, and end in a message that was never sent before. No two runs share a message or a unique prompt.
 */
export function conversationRequests(url: string, bodyBytes: number): string {
  const pieces = conversationPieces(bodyBytes);
  const contentLength = pieces.join('').length + 3 * counter.length;
  // wrk's own functions would copy a long body once more.
  return `
local head = "POST /v1/chat/completions HTTP/1.1\\r\\nhost: ${new URL(url).host}\\r\\n"
  .. "content-type: application/json\\r\\ncontent-length: ${contentLength}\\r\\n${sessionHeader}: "
${pieces.map((text, i) => `local piece${i + 1} = [==[${text}]==]`).join('\n')}
local names = {}
for i = 1, ${conversations} do names[i] = string.format("%0${counter.length}d", i) end
local number = ${firstNumber()}
math.randomseed(number)

function request()
  number = number + 1
  local message = string.format("%0${counter.length}d", number)
  local start, name = "${counter}", names[math.random(${conversations})]
  if number % ${oneUniqueOf} == 0 then start, name = message, message end
  return head .. name .. "\\r\\n\\r\\n" .. piece1 .. start .. piece2 .. name .. piece3 .. message .. piece4
end
`;
}

/** Later runs begin with numbers that earlier ones did not reach: nobody sends a thousand requests in a millisecond. */
function firstNumber(): number {
  return Math.floor(performance.now()) * 1000;
}
