import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MetricsRequests } from '../../src/supervisor/metrics-requests.ts'
import { VirtualTime } from '../lib/virtual-time.ts'

describe('a request for the metrics', () => {
  const body = (text: string) => ({ contentType: 'text/plain', body: text })

  it('gets the answer with its own id', async () => {
    const time = new VirtualTime()
    const requests = new MetricsRequests(time.keeper())
    const ids: number[] = []
    const [one, two] = [requests.request((id) => ids.push(id)), requests.request((id) => ids.push(id))]
    requests.answer(ids[1]!, body('two'))
    requests.answer(ids[0]!, body('one'))
    requests.answer(ids[0]!, body('again'))
    assert.deepEqual(await Promise.all([one, two]), [body('one'), body('two')])
    assert.equal(time.pending, 0)
  })

  it('ends without one after four seconds, and when the control thread exits', async () => {
    const time = new VirtualTime()
    const requests = new MetricsRequests(time.keeper())
    const late = requests.request(() => {})
    await time.pass(4_000)
    assert.equal(await late, undefined)
    const dropped = requests.request(() => {})
    requests.fail()
    assert.equal(await dropped, undefined)
    assert.equal(time.pending, 0)
  })
})
