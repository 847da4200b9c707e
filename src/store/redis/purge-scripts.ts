/** What the history of purges asks of Redis, each in one step. */
import { RedisScript } from './redis-script.ts'

/** The history itself, a stream. */
export const ENTRIES = '{purges}:entries'
/**
 * A stream with the newest history alone. Who waits for the next entry of the history before waits for this one, too:
 * the places of another history begin below the one behind which it waits, so no entry of it would wake it.
 */
export const HISTORIES = '{purges}:histories'
/** One slot of a cluster. */
export const PURGE_KEYS = [ENTRIES, '{purges}:history', '{purges}:replicas', '{purges}:namespaces', HISTORIES] as const

const TELL = (history: string): string => `
redis.call('DEL', KEYS[5])
redis.call('XADD', KEYS[5], '*', 'h', ${history})
`

/** Namespaces whose last places are remembered; more begin anew. */
const MAX_NAMESPACES = 16_384

/**
 * What somebody else wrote in place of a history, or a fault left of it, is none, and a new one begins: by its identity
 * replicas know that they cannot know what was purged. Only what a key has is judged so; other errors stay errors.
 */
const HISTORY = `
local function ask(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.find(reply.err, 'WRONGTYPE', 1, true) then return nil end
  return redis.call(...)
end
local function count(text, pattern)
  if type(text) ~= 'string' or #text > 16 or not string.find(text, pattern) then return nil end
  local number = tonumber(text)
  return number <= ${Number.MAX_SAFE_INTEGER} and number or nil
end
local function place(entry) return count(string.match(entry[1], '^(%d+)-0$'), '^%d+$') end
local history, last
local function begin()
  history, last = ARGV[1], 0
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[4])
  redis.call('HSET', KEYS[2], 'id', history, 'last', '0')
  ${TELL('history')}
end
history = ask('HGET', KEYS[2], 'id')
last = count(ask('HGET', KEYS[2], 'last') or '0', '^%d+$')
local first = ask('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
if not count(history, '^[1-9]%d*$') or not last or not first or (first[1] and not place(first[1])) then
  begin()
  first = {}
end
`

/**
 * ARGV: an identity if it has none, entries that are kept, records, each with the label of its namespace behind it,
 * which is empty where it may concern all. Returns identity and last place. Beside the entries stands the place of
 * the last one of each namespace, from the place `since` to `upto`: one that a Headgate of before has added is not in
 * there.
 */
export const APPEND = new RedisScript(`${HISTORY}
local names = count(ask('HGET', KEYS[4], 'names') or '0', '^%d+$')
local function renew()
  redis.call('DEL', KEYS[4])
  redis.call('HSET', KEYS[4], 'since', string.format('%.0f', last))
  names = 0
end
local function add(record)
  return redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], string.format('%.0f-0', last + 1), 'r', record)
end
if not names or count(ask('HGET', KEYS[4], 'upto'), '^%d+$') ~= last then renew() end
for i = 3, #ARGV, 2 do
  local added = add(ARGV[i])
  if type(added) == 'table' and string.find(added.err, 'equal or smaller', 1, true) then
    begin()
    renew()
    added = add(ARGV[i])
  end
  if type(added) == 'table' then return added end
  last = last + 1
  local place = string.format('%.0f', last)
  if ARGV[i + 1] == '' then
    renew()
  else
    names = names + redis.call('HSET', KEYS[4], ARGV[i + 1], place)
    if names > ${MAX_NAMESPACES} then renew() end
  end
end
local place = string.format('%.0f', last)
redis.call('HSET', KEYS[4], 'upto', place, 'names', names)
redis.call('HSET', KEYS[2], 'last', place)
return {history, place}
`)

/** Returns identity, then namespaces and places as {@link APPEND} keeps them, with `since`, `upto` and `names`. */
export const LAST_OF_NAMESPACES = new RedisScript(`
local reply = {redis.call('HGET', KEYS[2], 'id') or ''}
local places = redis.pcall('HGETALL', KEYS[4])
if not places.err then for _, word in ipairs(places) do reply[#reply + 1] = word end end
return reply
`)

/**
 * ARGV: an identity if it has none, place that is known, most entries, own name, seconds, whether it says that it is
 * there (2: for the first time, so that an earlier process in its place is not), what people know it by, the history of
 * the place that is known, which may be another one. Returns identity, last place, first place that is kept, and
 * entries from the known one on, with it.
 */
export const READ = new RedisScript(`${HISTORY}
if ARGV[6] == '2' then
  local said = ask('HGETALL', KEYS[3]) or {}
  for i = 1, #said, 2 do
    if string.match(said[i + 1], ' (%S+) %d+$') == ARGV[7] then redis.call('HDEL', KEYS[3], said[i]) end
  end
end
if ARGV[6] ~= '0' then
  local now = redis.call('TIME')[1]
  if ask('HGET', KEYS[3], ARGV[4]) == nil then redis.call('DEL', KEYS[3]) end
  if ask('XRANGE', KEYS[5], '-', '+', 'COUNT', 1) == nil then redis.call('DEL', KEYS[5]) end
  redis.call('HSET', KEYS[3], ARGV[4], ARGV[8] .. ' ' .. ARGV[2] .. ' ' .. ARGV[7] .. ' ' .. now)
  redis.call('PEXPIRE', KEYS[3], ARGV[5] * 1000)
end
local from = tonumber(ARGV[2])
local entries = {}
if from > 0 or last > 0 then
  entries = redis.call('XRANGE', KEYS[1], string.format('%.0f-0', from), '+', 'COUNT', ARGV[3])
end
for _, entry in ipairs(entries) do
  if not place(entry) then
    begin()
    first, entries = {}, {}
    break
  end
end
local reply = {history, string.format('%.0f', last), first[1] and first[1][1] or ''}
for _, entry in ipairs(entries) do
  reply[#reply + 1] = entry[1]
  reply[#reply + 1] = entry[2][2]
end
return reply
`)

/** ARGV: identity that has lost entries, the new one. Replicas stay in the list, and act by nothing of it yet. */
export const RENEW = new RedisScript(`
if redis.call('HGET', KEYS[2], 'id') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[4])
redis.call('HSET', KEYS[2], 'id', ARGV[2], 'last', '0')
${TELL('ARGV[2]')}
return 1
`)

/** ARGV: seconds after which a replica is gone. Returns of each its name, what it has said, and seconds since then. */
export const REPLICAS = new RedisScript(`
local now = tonumber(redis.call('TIME')[1])
local said = redis.call('HGETALL', KEYS[3])
local reply = {}
for i = 1, #said, 2 do
  local at = tonumber(string.match(said[i + 1], '%d+$') or '0')
  -- By a clock that was ahead: who has ended is not waited for until it is as late again.
  if at > now then
    at = now
    said[i + 1] = string.gsub(said[i + 1], '%d+$', string.format('%.0f', now))
    redis.call('HSET', KEYS[3], said[i], said[i + 1])
  end
  if now - at > tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[3], said[i])
  else
    reply[#reply + 1] = said[i]
    reply[#reply + 1] = said[i + 1]
    reply[#reply + 1] = now - at
  end
end
return reply
`)

/** ARGV: names. */
export const LEAVE = new RedisScript(`return redis.call('HDEL', KEYS[3], unpack(ARGV))`)
