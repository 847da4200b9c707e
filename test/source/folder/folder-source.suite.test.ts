import { stringify } from 'yaml'
import { sourceSuite } from '../../suite/source.ts'
import { fileOf, TemporaryFolder } from './temporary-folder.ts'

sourceSuite('a folder', async () => {
  const folder = new TemporaryFolder()
  const put = (object: Parameters<typeof fileOf>[0]) => folder.write(fileOf(object), stringify(object))
  return {
    source: folder.source(),
    put,
    putAll: async (objects) => {
      for (const object of objects) await put(object)
    },
    remove: (object) => folder.remove(fileOf(object)),
    close: () => folder.close(),
  }
})
