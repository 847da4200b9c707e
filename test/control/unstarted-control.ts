/** A control thread as far as it is before it has read anything: it takes messages and knows no settings. */
import { parentPort, workerData } from 'node:worker_threads'
import { Control } from '../../src/control/control.ts'
import type { ControlData, MainToControl } from '../../src/control/thread-messages.ts'
import { createThreadLogger } from '../../src/log/process-log.ts'
import { CONTROL_THREAD } from '../../src/shared-memory/process-block.ts'

const data = workerData as ControlData
const main = parentPort!
const log = createThreadLogger(data.shared.processLog[CONTROL_THREAD]!, { ...data.log, thread: 'control' })
const control = new Control(data, main, log)
main.on('message', (message: MainToControl) => control.accept(message))
