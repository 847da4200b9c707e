/** Entry of the control thread. */
import { getHeapStatistics } from 'node:v8'
import { parentPort, workerData } from 'node:worker_threads'
import { createThreadLogger } from '../log/process-log.ts'
import { watchMemory } from '../shared-memory/memory-watch.ts'
import { CONTROL_THREAD, ProcessBlock, startHeartbeat } from '../shared-memory/process-block.ts'
import { systemTimers } from '../thread/system-timers.ts'
import { Control } from './control.ts'
import { loadSource } from './open-source.ts'
import type { ControlData, MainToControl } from './thread-messages.ts'

const data = workerData as ControlData
const main = parentPort!
const log = createThreadLogger(data.shared.processLog[CONTROL_THREAD]!, { ...data.log, thread: 'control' })

const control = new Control(data, main, log)
main.on('message', (message: MainToControl) => control.accept(message))
control.start()
// Only now: from its first beat on a thread must keep beating, and reading the schemas or loading a client takes longer
// than that.
await loadSource(data.source)
const block = new ProcessBlock(data.shared.process)
const every = (tick: () => void, interval: number) => systemTimers.every(interval, tick)
startHeartbeat(block, CONTROL_THREAD, every)
watchMemory(block, CONTROL_THREAD, { statistics: getHeapStatistics, idle: () => true, collect: globalThis.gc }, every)
