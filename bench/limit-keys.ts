/**
 * `node bench/limit-keys.ts`: ten million clients at one limit, in one namespace, beside a namespace with a thousand:
 * what a request costs, what the table takes, and whose keys are forgotten.
 */
import { TableLimiters } from '../src/limit/table-limiters.ts'
import { LIMIT_SLOT_BYTES, LimitTable } from '../src/shared-memory/limit-table.ts'

const SLOTS = 2 ** 17
const FLOOD = 10_000_000
const CALM = 1_000

const now = (): number => performance.now()
const table = new LimitTable(LimitTable.allocate(SLOTS, [0x5eed, 0xfeed], now()))
const limiters = new TableLimiters(table, { monotonic: now })
const once = { requests: 1, per: 86_400_000, burst: 1 }
const calm = limiters.open({ owner: 'calm', name: 'a' }, once)
const flood = limiters.open({ owner: 'flood', name: 'a' }, once)

for (let i = 0; i < CALM; i++) calm.take(`client.ip\n10.0.${i >> 8}.${i & 255}`)
const before = process.cpuUsage().user
for (let i = 0; i < FLOOD; i++) flood.take(`client.ip\n${i}`)
const each = (process.cpuUsage().user - before) / FLOOD
let kept = 0
for (let i = 0; i < CALM; i++) if (!calm.take(`client.ip\n10.0.${i >> 8}.${i & 255}`).allowed) kept++

const fast = limiters.open({ owner: 'fast', name: 'a' }, { requests: 1_000_000, per: 1_000, burst: 1_000_000 })
const start = process.cpuUsage().user
for (let i = 0; i < 1_000_000; i++) fast.take('client.ip\n203.0.113.9')
const known = (process.cpuUsage().user - start) / 1_000_000

console.log(`a known key: ${Math.round(known * 1_000)} ns of CPU`)
console.log(`a new key that pushes out another: ${Math.round(each * 1_000)} ns of CPU`)
console.log(`${FLOOD} keys: ${table.live(now())} in a table of ${SLOTS}, ${(SLOTS * LIMIT_SLOT_BYTES) / 1e6} MB`)
console.log(`of ${CALM} keys of another namespace ${kept} are still counted`)
