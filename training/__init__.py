"""How webmamba's embedded models were made: definitions, data, training, evaluation and export."""
