// Searches one build-id and says what was found, as JSON. Arguments: the build-id. The environment says where.
import { searchSymbols } from '../../tools/shared/symbol-search.ts';

const [buildId = ''] = process.argv.slice(2);
const { file, looked } = await searchSymbols({ buildId }, { env: process.env, root: '/nonexistent' });
const lines = file?.debugInfo?.lookup(file.table.addressOf('_start') ?? 0n);
console.log(JSON.stringify({ path: file?.path, buildId: file?.buildId, lines, looked }));
file?.close();
