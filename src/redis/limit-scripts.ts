/** What Redis does with the buckets of token limits, each in one step. The arithmetic is that of `fairness/token-bucket.ts`. */

/** A bucket is a hash: its levels, and when they were right. Redis' own time counts, so that replicas need not agree. */
const shared = `
local quantities = {'inputTokens', 'outputTokens', 'totalTokens', 'requests'}
local dayMs = 86400000
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + time[2] / 1000

-- Four numbers, one for each quantity.
local function numbersAt(first)
  local numbers = {}
  for i = 1, 4 do numbers[i] = tonumber(ARGV[first + i - 1]) end
  return numbers
end

local function text(number)
  return string.format('%.17g', number)
end

-- The levels now, and when they are right; nil where Redis knows nothing of the bucket. Amounts of 0 are no limits.
local function read(key, periodMs, amounts)
  local stored = redis.call('HMGET', key, 'atMs', unpack(quantities))
  local atMs = tonumber(stored[1])
  if not atMs then return nil end
  local elapsedMs = math.max(0, nowMs - atMs)
  local levels = {}
  for i = 1, 4 do
    local level = tonumber(stored[i + 1])
    levels[i] = level and math.min(amounts[i], level + elapsedMs * amounts[i] / periodMs) or amounts[i]
  end
  return levels, math.max(nowMs, atMs)
end

-- Kept for two periods, and while it is overdrawn; but a replica that died with much set aside is forgiven after a day.
local function write(key, periodMs, amounts, levels, atMs)
  local fields = {'atMs', text(atMs)}
  local fullInMs = 0
  for i = 1, 4 do
    if amounts[i] > 0 then
      fields[#fields + 1] = quantities[i]
      fields[#fields + 1] = text(levels[i])
      fullInMs = math.max(fullInMs, (amounts[i] - levels[i]) * periodMs / amounts[i])
    end
  end
  if #fields == 2 then return end
  redis.call('HSET', key, unpack(fields))
  local keptMs = math.max(2 * periodMs, math.min(fullInMs, 2 * periodMs + dayMs))
  redis.call('PEXPIRE', key, string.format('%.0f', keptMs))
end

-- The set is there as long as the last of its leases.
local function addLease(key, lease, lastsMs)
  redis.call('ZADD', key, text(nowMs + lastsMs), lease)
  if redis.call('PTTL', key) < tonumber(lastsMs) then redis.call('PEXPIRE', key, lastsMs) end
end
`;

/**
 * Takes from all buckets or from none.
 *
 * KEYS: for each bucket the bucket, and its requests in flight, a sorted set of leases by when they end.
 * ARGV: the cost of each quantity; the name of the lease and how long it lasts in ms; for each bucket its period in ms, the
 * amount of each quantity, 0 for no limit, and the most requests in flight, 0 for no limit.
 * Answer: 1 where all was taken, else 0; for each bucket the level of each quantity, and the requests in flight.
 */
export const takeScript = `${shared}
local cost = numbersAt(1)
local lease, leaseMs = ARGV[5], ARGV[6]
local argsEach = 6
local buckets = {}
local taken = 1
for i = 1, #KEYS / 2 do
  local first = 7 + (i - 1) * argsEach
  local bucket = {
    key = KEYS[2 * i - 1], leases = KEYS[2 * i],
    periodMs = tonumber(ARGV[first]), amounts = numbersAt(first + 1), maxRunning = tonumber(ARGV[first + 5]),
    running = 0,
  }
  bucket.levels, bucket.atMs = read(bucket.key, bucket.periodMs, bucket.amounts)
  if not bucket.levels then
    bucket.levels, bucket.atMs = {unpack(bucket.amounts)}, nowMs
  end
  for q = 1, 4 do
    local amount = bucket.amounts[q]
    if amount > 0 and cost[q] > 0 and math.min(cost[q], amount) - bucket.levels[q] > amount * 1e-9 then taken = 0 end
  end
  if bucket.maxRunning > 0 then
    redis.call('ZREMRANGEBYSCORE', bucket.leases, '-inf', text(nowMs))
    bucket.running = redis.call('ZCARD', bucket.leases)
    if bucket.running >= bucket.maxRunning then taken = 0 end
  end
  buckets[i] = bucket
end

local answer = {taken}
for _, bucket in ipairs(buckets) do
  if taken == 1 then
    for q = 1, 4 do bucket.levels[q] = bucket.levels[q] - cost[q] end
    write(bucket.key, bucket.periodMs, bucket.amounts, bucket.levels, bucket.atMs)
    if bucket.maxRunning > 0 then
      addLease(bucket.leases, lease, leaseMs)
      bucket.running = bucket.running + 1
    end
  end
  for q = 1, 4 do answer[#answer + 1] = text(bucket.levels[q]) end
  answer[#answer + 1] = bucket.running
end
return answer
`;

/**
 * Takes more from buckets, or gives back what is negative, as far as there is room.
 *
 * KEYS: the buckets.
 * ARGV: for each its period in ms, the amount of each quantity, 0 for no limit, what more is taken of each, and the levels
 * to set where Redis knows nothing of the bucket.
 * Answer: how many buckets there were.
 */
export const adjustScript = `${shared}
local argsEach = 13
for i, key in ipairs(KEYS) do
  local first = 1 + (i - 1) * argsEach
  local periodMs, amounts, more = tonumber(ARGV[first]), numbersAt(first + 1), numbersAt(first + 5)
  local levels, atMs = read(key, periodMs, amounts)
  if levels then
    for q = 1, 4 do levels[q] = math.min(amounts[q], levels[q] - more[q]) end
  else
    levels, atMs = numbersAt(first + 9), nowMs
  end
  write(key, periodMs, amounts, levels, atMs)
end
return #KEYS
`;

/**
 * Makes leases last from now on.
 *
 * KEYS: for each lease the set that it is in. ARGV: how long leases last in ms; the name of each.
 * Answer: how many there were.
 */
export const renewScript = `${shared}
for i, key in ipairs(KEYS) do addLease(key, ARGV[i + 1], ARGV[1]) end
return #KEYS
`;
