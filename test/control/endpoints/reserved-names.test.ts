import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ReservedNames } from '../../../src/control/endpoints/reserved-names.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually } from '../../feature/harness.ts'

it('what a name in front of us has led to stays known for a while, though every answer has others', async (t) => {
  let answer = ['198.51.100.1', '198.51.100.2']
  let now = 0
  let changes = 0
  const names = new ReservedNames({
    changed: () => changes++,
    random: () => 0.5,
    time: { ...systemTimers, monotonic: () => now },
    lookup: async () => answer,
    interval: 5,
  })
  const alive = setInterval(() => {}, 1_000)
  t.after(() => {
    names.stop()
    clearInterval(alive)
  })
  const of = () => names.addresses('lb.example')
  assert.deepEqual(of(), [])
  await eventually(() => assert.deepEqual(of(), ['198.51.100.1', '198.51.100.2']))
  assert.equal(of(), of(), 'the same object while nothing differs')
  answer = ['198.51.100.3']
  await eventually(() => assert.deepEqual(of(), ['198.51.100.1', '198.51.100.2', '198.51.100.3']))
  assert.ok(changes >= 2)
  now += 31 * 60_000
  await eventually(() => assert.deepEqual(of(), ['198.51.100.3']))
})
